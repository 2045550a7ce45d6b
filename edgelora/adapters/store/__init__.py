"""What the library keeps itself: content-addressed adapters, and a manifest that gives them names and versions."""
