"""Conversations on disk: every turn as it is written, branches included."""
