"""The chat's own colours; any other theme can be chosen in the command palette."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.theme import BUILTIN_THEMES, Theme

from edgelora.errors import ConfigError

if TYPE_CHECKING:
    from textual.app import App

QUIET = "$foreground 60%"
"""What is there to look up, not to read first."""
FAINT = "$foreground 30%"


def _tints(*colours: str) -> dict[str, str]:
    """The variables of the colours that tell adapters apart."""
    return {f"tint-{number}": colour for number, colour in enumerate(colours)}


TINT_DEFAULTS = _tints("#5fb8a8", "#d9a860", "#a99be0", "#7aa2d6", "#d98aa6", "#8fbf7f")

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

# Colours that stay apart for every kind of colour blindness: M. Okabe and K. Ito, "Color Universal Design", 2008.
COLOUR_BLIND_THEME = replace(
    EDGELORA_THEME,
    name="edgelora-colour-blind",
    primary="#56b4e9",
    secondary="#0072b2",
    accent="#e69f00",
    warning="#f0e442",
    error="#d55e00",
    success="#56b4e9",
    variables=_tints("#56b4e9", "#e69f00", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"),
)

TERMINAL_THEME = replace(
    BUILTIN_THEMES["ansi-dark"],
    name="terminal",
    panel="ansi_bright_black",  # or what is highlighted could not be seen
    variables=BUILTIN_THEMES["ansi-dark"].variables
    | {"warning-muted": "ansi_default", "text-warning": "ansi_yellow"}
    | _tints("ansi_cyan", "ansi_yellow", "ansi_magenta", "ansi_blue", "ansi_red", "ansi_green"),
)
"""The sixteen colours of the terminal, whatever they are."""


def bar(filled: int, cells: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """A bar of which ``filled`` of ``cells`` stand out, also without colours."""
    return ("━" * filled, "$primary"), ("─" * (cells - filled), FAINT)


def native_colours() -> bool | None:
    """Textual's ``ansi_color``: under NO_COLOR the terminal's own, which are then left out; else as the theme is."""
    return True if "NO_COLOR" in os.environ else None


THEMES = (EDGELORA_THEME, COLOUR_BLIND_THEME, TERMINAL_THEME)


def dress(app: App[Any], wanted: str, remembered: str) -> None:
    """Give ``app`` the theme that is ``wanted``, else the remembered one, else the chat's own; under NO_COLOR none has
    any colours.

    Raises ConfigError where there is none called ``wanted``; one that was remembered may be gone.
    """
    for theme in THEMES:
        app.register_theme(theme)
    there = app.available_themes
    if wanted and wanted not in there:
        raise ConfigError(f"there is no theme called {wanted!r}", f"There are: {', '.join(sorted(there))}.")
    chosen = TERMINAL_THEME.name if app.no_color else wanted or remembered
    app.theme = chosen if chosen in there else EDGELORA_THEME.name
