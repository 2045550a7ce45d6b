"""Calls of tools in what a model writes, as Hermes and Qwen templates ask for them: JSON between two tags."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class ToolCalls:
    """Reads an answer as it comes: what is text and what is a call. Feed it, then :meth:`finish`."""

    def __init__(self) -> None:
        self._held = ""
        self.found: list[dict[str, Any]] = []

    def feed(self, text: str) -> str:
        """More of the answer; returns what is text for certain."""
        self._held += text
        said = ""
        while OPEN in self._held:
            before, _, rest = self._held.partition(OPEN)
            inside, closed, after = rest.partition(CLOSE)
            if not closed:
                self._held = OPEN + rest
                return said + before
            call = _call(inside, len(self.found))
            if call is None:  # no call after all
                said, self._held = said + before + OPEN + inside + CLOSE, after
            else:
                self.found.append(call)
                said, self._held = said + before, after
        keep = next((n for n in range(len(OPEN) - 1, 0, -1) if self._held.endswith(OPEN[:n])), 0)
        text = self._held[: len(self._held) - keep]
        self._held = self._held[len(text) :]
        return said + text

    def finish(self) -> str:
        """The answer has ended; returns what was held back. A call without its closing tag counts."""
        held, self._held = self._held, ""
        if held.startswith(OPEN) and (call := _call(held.removeprefix(OPEN), len(self.found))):
            self.found.append(call)
            return ""
        return held


def _call(text: str, index: int) -> dict[str, Any] | None:
    try:
        written = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(written, dict) or not isinstance(written.get("name"), str):
        return None
    arguments = written.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    function = {"name": written["name"], "arguments": arguments}
    return {"index": index, "id": f"call_{uuid4().hex[:24]}", "type": "function", "function": function}
