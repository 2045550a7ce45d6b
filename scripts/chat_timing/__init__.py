"""The chat as a person meets it, in a pseudo-terminal, with a clock beside it."""
