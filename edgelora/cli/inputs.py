"""Text that a person gives on the command line, directly, from a file or from a pipe."""

from __future__ import annotations

import sys

from edgelora.config.locations import expanded
from edgelora.errors import UsageError

_SYSTEM = "Give the text itself, or @FILE for a text file."


def prompt_text(argument: str) -> str:
    """The prompt: ``argument``, or all of stdin for `-`. Raises UsageError where there is nothing to answer."""
    text = _stdin() if argument == "-" else argument
    if not text.strip():
        where = "nothing came from stdin" if argument == "-" else "the prompt is empty"
        raise UsageError(where, "Write it like: edgelora run 'Who are you?'")
    return text


def system_text(setting: str | None) -> str:
    """The system prompt: the setting itself, or the contents of the file after an `@`. Raises UsageError."""
    if setting is None or not setting.startswith("@"):
        return setting or ""
    try:
        return expanded(setting[1:]).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError(f"the system prompt {setting[1:]!r} cannot be read: {reason}", _SYSTEM) from None


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin is not UTF-8 text (byte {error.start})") from None
