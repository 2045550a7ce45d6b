"""Settings, and every path on disk."""
