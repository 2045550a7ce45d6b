"""Where the rows and columns of a trained weight lie in the GGUF base."""
