"""Files of named tensors, read without torch."""
