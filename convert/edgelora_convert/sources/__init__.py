"""Reading what a person has on disk: PEFT folders, MLX folders, GGUF adapters, hub repositories."""
