"""What the front matter of an adapter's README.md says about its use: single lines of its YAML."""

from __future__ import annotations

import json
import re

_FENCE = "---"
_EXAMPLE = re.compile(r"(?:example_prompt|[ \t]*-[ \t]*text):(.*)")
_SYSTEM = re.compile(r"system_prompt:(.*)")
_BLOCK_SCALAR = re.compile(r"[|>][+-]?\d?")


def example_prompt(card: str) -> str | None:
    """A prompt to try it with: ``example_prompt``, or the first widget text."""
    return _value(_EXAMPLE, card)


def system_prompt(card: str) -> str | None:
    """The system prompt that it was trained with: ``system_prompt``."""
    return _value(_SYSTEM, card)


def _value(key: re.Pattern[str], card: str) -> str | None:
    found = next(filter(None, map(key.fullmatch, _front_matter(card))), None)
    scalar = found[1].strip() if found else ""
    return None if not scalar or _BLOCK_SCALAR.fullmatch(scalar) else _unquoted(scalar)


def _front_matter(card: str) -> list[str]:
    """The lines between the first two fences, where the first line is one."""
    lines = card.splitlines()
    fences = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE][:2]
    return lines[1 : fences[1]] if len(fences) == 2 and fences[0] == 0 else []


def _unquoted(scalar: str) -> str:
    """A YAML scalar on one line: double-quoted is JSON in all that matters here."""
    if scalar.startswith('"'):
        try:
            return str(json.loads(scalar))
        except ValueError:
            return scalar.strip('"')
    if len(scalar) > 1 and scalar.startswith("'") and scalar.endswith("'"):
        return scalar[1:-1].replace("''", "'")
    return scalar
