"""Settings for the modules whose path ends with a pattern, as in ``rank_pattern`` and ``alpha_pattern``.

PEFT takes the first key for which ``(.*\\.)?(key)$`` matches the path from its start (peft/utils/other.py,
get_pattern_key). Most keys are plain names; many of them are looked up at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from edgelora_convert.peft.expression import PatternError
from edgelora_convert.peft.pattern import MAX_LENGTH, Effort, PathPatterns
from edgelora_convert.update import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgelora_convert.peft.fields import Fields

_Value = TypeVar("_Value", int, float)

MAX_EFFORT = 25_000_000
"""Seconds of matching. A pattern for every module of a large model needs a hundredth of it."""

_PLAIN = re.compile(r"(?P<start>\^?)(?P<name>(?:\\\.|[^\\^$*+?{}\[\]|()])*)\$?")
_SIGN = re.compile(r"\\?.", re.DOTALL)


class _Form(NamedTuple):
    """What plain keys of the same form have in common: length, where any character fits, whether they are paths."""

    length: int
    any_at: tuple[int, ...]
    from_start: bool

    def blanked(self, text: str) -> str:
        """The text with a dot wherever any character fits."""
        for at in self.any_at:
            text = f"{text[:at]}.{text[at + 1 :]}"
        return text


class ByPattern(Generic[_Value]):
    """Values by patterns, in their order, and the default where none matches."""

    def __init__(self, values: Mapping[str, _Value], default: _Value, name: str, fields: Fields) -> None:
        """Compile the keys of the field ``name``; the first that is wrong is noted."""
        self._values: dict[int, _Value] = dict(enumerate(values.values()))
        self._default: _Value = default
        self._plain: dict[_Form, dict[str, int]] = {}
        self._effort = Effort(MAX_EFFORT)
        self._others = PathPatterns(self._effort)
        for order, key in enumerate(values):
            try:
                self._add(order, key)
            except PatternError as error:
                fields.refuse(f"{name} key", f"{name} has the invalid expression {key[:80]!r} (it {error})")
                break  # a file may have any number of them

    def __getitem__(self, path: str) -> _Value:
        """Raises UnusableError where the patterns take too long."""
        try:
            first = min(self._matches(path), default=None)
        except PatternError as error:
            raise UnusableError(f"the patterns of its configuration cannot be matched: one {error}") from None
        return self._default if first is None else self._values[first]

    def _add(self, order: int, key: str) -> None:
        plain = _PLAIN.fullmatch(key) if len(key) <= MAX_LENGTH else None
        if plain is None:
            self._others.add(key, order)
            return
        signs = _SIGN.findall(plain["name"])
        any_at = tuple(at for at, sign in enumerate(signs) if sign == ".")
        keys = self._plain.setdefault(_Form(len(signs), any_at, bool(plain["start"])), {})
        keys.setdefault("".join(sign[-1] for sign in signs), order)

    def _matches(self, path: str) -> Iterator[int]:
        self._effort.spend(len(self._plain))
        for form, keys in self._plain.items():
            start = len(path) - form.length
            if start == 0 or (start > 0 and path[start - 1] == "." and not form.from_start):
                order = keys.get(form.blanked(path[start:]))
                if order is not None:
                    yield order
        other = self._others.first(path)
        if other is not None:
            yield other
