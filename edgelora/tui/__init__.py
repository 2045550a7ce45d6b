"""The chat in the terminal. The only room that imports Textual."""
