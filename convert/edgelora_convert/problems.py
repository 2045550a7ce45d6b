"""Collects every reason against a conversion, so that one message can list them all, briefly."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_ADAPTER = "Give a GGUF adapter, or a PEFT or MLX folder."
OTHER_BASE = "Use the base that it was trained on; --base takes a file or a name."
"""Hints: what to do about a problem, where it does not say so itself."""

MAX_LINE = 400
MAX_LINES = 40
_NUMBER = re.compile(r"(?<=\.)[0-9]{1,6}(?=\.)")


class Problems:
    """Problems found so far. The same problem in many layers becomes one line that names the layers."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._whole: dict[str, str] = {}
        self._placed: dict[tuple[str, str], list[str]] = {}
        self._hint = ""  # the first that came with a problem

    def __bool__(self) -> bool:
        return bool(self._whole or self._placed)

    @property
    def is_full(self) -> bool:
        """Whether what comes now will only be counted."""
        return len(self._whole) + len(self._placed) >= MAX_LINES

    def refuse(self, cause: str, text: str, hint: str = "") -> None:
        """A property of the whole source that rules it out; further signs of the same cause add nothing."""
        self._whole.setdefault(cause, text)
        self._hint = self._hint or hint

    def first(self, text: str, hint: str) -> None:
        """What explains all the others, before them."""
        self._whole = {text: text, **self._whole}
        self._hint = hint

    def add(self, module: str, text: str, hint: str = "") -> None:
        """A problem of one module (or tensor), such as ``model.layers.3.self_attn.q_proj``."""
        self._hint = self._hint or hint
        key = (_NUMBER.sub("*", module), _NUMBER.sub("*", text))
        self._placed.setdefault(key, []).append(module)

    def lines(self) -> list[str]:
        """Every problem, one line each; of very many the first ones."""
        shown = list(islice(self._all(), MAX_LINES))
        more = len(self._whole) + len(self._placed) - len(shown)
        return [_printable(line) for line in shown] + ([f"and {more} more like these"] if more else [])

    def _all(self) -> Iterator[str]:
        yield from self._whole.values()
        for (masked, text), modules in self._placed.items():
            yield f"{_together(masked, modules)}: {text}"

    def stop(self, cause: str, text: str, hint: str = "") -> NoReturn:
        """Add a problem after which nothing more can be found out, and raise."""
        self.refuse(cause, text, hint)
        raise ConversionError(self._source, self.lines(), self._hint)

    def raise_if_any(self) -> None:
        """Raise ConversionError with all problems, if there are any."""
        if self:
            raise ConversionError(self._source, self.lines(), self._hint)


def _printable(line: str) -> str:
    """Names come from files, so they may hold anything."""
    cut = line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..."
    return "".join(char if char.isprintable() else "?" for char in cut)


def _together(masked: str, modules: list[str]) -> str:
    """One name for modules that differ in their numbers, and the layers they are in; an only expert is named."""
    numbers = [_NUMBER.findall(module) for module in modules]
    alike = len({tuple(found[1:]) for found in numbers}) == 1
    name = _NUMBER.sub("*", modules[0], count=1) if alike else masked
    return name + _in_layers([int(found[0]) for found in numbers if found])


def _in_layers(layers: list[int]) -> str:
    if not layers:
        return ""
    ordered = sorted(set(layers))
    ranges: list[str] = []
    start = previous = ordered[0]
    for layer in [*ordered[1:], None]:
        if layer is not None and layer == previous + 1:
            previous = layer
            continue
        ranges.append(str(start) if start == previous else f"{start}-{previous}")
        if layer is not None:
            start = previous = layer
    return f" (layer{'s' if len(ordered) > 1 else ''} {', '.join(ranges)})"
