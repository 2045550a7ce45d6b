"""How the embedded demo is made: its text, its base, its adapters, its GGUF files and its checks."""
