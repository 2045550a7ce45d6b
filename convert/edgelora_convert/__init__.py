"""Converts LoRA adapters to GGUF against nothing but the base GGUF: no torch, no transformers, no llama.cpp."""

CONVERTER_VERSION = 2
"""Raised whenever the same input gives another output; recorded in every file as ``edgelora.converter``."""
