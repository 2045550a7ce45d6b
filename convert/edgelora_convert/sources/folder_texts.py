"""What a PEFT folder says about its use, beside the weights: chat template, example prompt."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_TEXT_BYTES = 1024 * 1024
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)
_PROMPT = re.compile(r"^(?:example_prompt|\s*-\s*text):[ \t]*(\S.*?)\s*$", re.MULTILINE)


def chat_template(folder: Path) -> str | None:
    """The chat template that was saved with the adapter: chat_template.jinja, else tokenizer_config.json."""
    in_own_file = _text(folder / "chat_template.jinja")
    if in_own_file is not None:
        return in_own_file
    try:
        config = json.loads(_text(folder / "tokenizer_config.json") or "{}")
    except (ValueError, RecursionError):
        return None
    return next(_templates(config.get("chat_template")), None) if isinstance(config, dict) else None


def _templates(saved: object) -> Iterator[str]:
    """One template as a string, or several with names, of which only the default is meant for chats."""
    if isinstance(saved, str) and saved:
        yield saved
    for entry in saved if isinstance(saved, list) else ():
        if isinstance(entry, dict) and entry.get("name") == "default" and isinstance(entry.get("template"), str):
            yield entry["template"]


def example_prompt(folder: Path) -> str | None:
    """A prompt to try it with: ``example_prompt`` or the first widget text in the front matter of README.md."""
    front_matter = _FRONT_MATTER.match(_text(folder / "README.md") or "")
    prompt = _PROMPT.search(front_matter[1]) if front_matter else None
    return _unquoted(prompt[1]) if prompt else None


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


def _text(path: Path) -> str | None:
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            return None
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None
