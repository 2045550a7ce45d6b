"""Behind scripts/synthetic_base: bases of real shapes with random weights, and adapters for them."""
