"""Bakes adapters into a base: what changes, in which types, written in one pass."""
