"""Reading GGUF files: headers, facts about bases and adapters, and whether an adapter fits a base."""
