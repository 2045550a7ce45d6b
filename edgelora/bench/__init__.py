"""Measurements of what a person waits for, each against what llama.cpp does by itself."""
