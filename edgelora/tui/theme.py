"""The chat's own colours; any other theme can be chosen in the command palette."""

from __future__ import annotations

from textual.theme import Theme

QUIET = "$foreground 60%"
"""What is there to look up, not to read first."""
FAINT = "$foreground 30%"

EDGELORA_THEME = Theme(
    name="edgelora",
    primary="#5fb8a8",
    secondary="#7aa2d6",
    accent="#d9a860",
    warning="#d9a860",
    error="#d9727a",
    success="#8fbf7f",
    foreground="#d5d9e0",
    background="#15181d",
    surface="#1b1f26",
    panel="#262b34",
    dark=True,
)
