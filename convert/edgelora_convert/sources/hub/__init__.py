"""Adapters in a repository of the Hugging Face hub: what to take, how to get it, where to keep it."""
