"""Conversations: chat templates, prompts that fit the context, one session on one engine. Knows no user interface."""
