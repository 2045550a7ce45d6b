"""PEFT's formats: configuration and stored tensors to updates."""
