"""Regular expressions as trees: the part of Python's language that can be matched without backtracking."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Characters and classes of them; what they match is left to ``re``, one character at a time.
_CHARACTER = re.compile(
    r"\\[dDwWsS]|\\[^a-zA-Z0-9]|\[\^?\]?(?:\\[dDwWsS]|\\[^a-zA-Z0-9]|[^\[\]\\])*\]|[^\\()\[\]{}|*+?^$]", re.DOTALL
)
_AMBIGUOUS_SET = re.compile(r"--|&&|~~|\|\|")  # Python may give them another meaning one day, and warns
_GROUP = re.compile(r"\((?:\?:|(?!\?))")
_REPEAT = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<low>\d{1,4})?(?P<comma>,)?(?P<high>\d{1,4})?\})\??")
_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}

START, END = "^", "$"


class PatternError(ValueError):
    """An expression that is wrong, too large, or uses what only backtracking can match."""


@dataclass(frozen=True)
class Character:
    """Any one character that fits."""

    matches: Callable[[str], object]


@dataclass(frozen=True)
class Anchor:
    """The start or the end of the text."""

    sign: str


@dataclass(frozen=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A part at least ``low`` times; ``high`` None is without limit."""

    part: Node
    low: int
    high: int | None


Node = Character | Anchor | Sequence | Choice | Repeat


def parse(text: str) -> Node:
    """The tree of an expression. Raises PatternError."""
    try:
        return _Parser(text).parse()
    except RecursionError:
        raise PatternError("is nested too deeply") from None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> Node:
        node = self._choice()
        self._expect(self._at == len(self._text))
        return node

    def _choice(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return Choice(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while (part := self._part()) is not None:
            repeat = _REPEAT.match(self._text, self._at)
            if repeat and not isinstance(part, Anchor):
                self._at = repeat.end()
                part = Repeat(part, *_bounds(repeat))
            parts.append(part)
        return Sequence(tuple(parts))

    def _part(self) -> Node | None:
        for sign in (START, END):
            if self._take(sign):
                return Anchor(sign)
        if group := _GROUP.match(self._text, self._at):
            self._at = group.end()
            inner = self._choice()
            self._expect(self._take(")"))
            return inner
        if character := _CHARACTER.match(self._text, self._at):
            self._at = character.end()
            return Character(_one_character(character.group()))
        return None

    def _expect(self, found: bool) -> None:
        if not found:
            rest = self._text[self._at :][:20]
            raise PatternError(f"cannot be understood from {rest!r} on" if rest else "lacks a closing parenthesis")

    def _take(self, sign: str) -> bool:
        found = self._text.startswith(sign, self._at)
        self._at += found
        return found


def _one_character(text: str) -> Callable[[str], object]:
    if _AMBIGUOUS_SET.search(text):
        raise PatternError(f"has the ambiguous set {text}")
    try:
        return re.compile(text).fullmatch
    except re.error as error:
        raise PatternError(f"has the wrong set {text} ({error})") from None


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    if repeat["sign"]:
        return _SIGNS[repeat["sign"]]
    if not (repeat["low"] or repeat["high"]):
        raise PatternError(f"has the repetition {repeat.group()} without a number")
    low = int(repeat["low"] or 0)
    high = int(repeat["high"]) if repeat["high"] else None if repeat["comma"] else low
    if high is not None and high < low:
        raise PatternError(f"has the impossible repetition {repeat.group()}")
    return low, high
