"""edgelora: one quantized GGUF base, many LoRA adapters, swapped at run time."""

__version__ = "0.1.0"
