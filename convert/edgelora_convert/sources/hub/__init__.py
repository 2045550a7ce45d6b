"""Adapters in a repository of the Hugging Face hub; huggingface-hub does the downloading and keeps the cache."""
