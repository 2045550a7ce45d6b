"""Regular expressions from a file, matched in a time that grows only with the length of the text.

PEFT matches the keys of ``rank_pattern`` and ``alpha_pattern`` with Python's ``re``, which can take for ever over an
expression such as ``(a+)+$``. Here an expression becomes an automaton whose sets of states are remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora_convert.peft.expression import (
    END,
    START,
    Anchor,
    Character,
    Choice,
    Node,
    PatternError,
    Repeat,
    Sequence,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_LENGTH = 300
MAX_STATES = 5000
"""Repetitions such as ``(a{99}){99}`` become that many states, so their number is limited."""

_ANYWHERE = ""


class Pattern:
    """A compiled expression. Raises PatternError where it cannot be matched safely."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise PatternError(f"is longer than {MAX_LENGTH} characters")
        self._moves: list[list[tuple[Callable[[str], object], int]]] = []
        self._free: list[list[tuple[str, int]]] = []  # steps without a character, with the anchor they depend on
        self._next: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._end = self._add(parse(text), self._new())
        self._at_start = self._reached([0], (START,))

    def matches(self, text: str) -> bool:
        """Whether the whole of ``text`` matches."""
        if not text:
            return self._end in self._reached([0], (START, END))
        states = self._at_start
        for char in text:
            key = states, char
            if key not in self._next:
                self._next[key] = self._reached(end for at in states for fits, end in self._moves[at] if fits(char))
            states = self._next[key]
        return self._end in self._reached(states, (END,))

    def _new(self) -> int:
        if len(self._moves) >= MAX_STATES:
            raise PatternError("has too many repetitions")
        self._moves.append([])
        self._free.append([])
        return len(self._moves) - 1

    def _add(self, node: Node, start: int) -> int:
        """Add the states that read ``node`` from ``start``; returns the one after it."""
        match node:
            case Character(matches):
                end = self._new()
                self._moves[start].append((matches, end))
            case Anchor(sign):
                end = self._new()
                self._free[start].append((sign, end))
            case Sequence(parts):
                end = start
                for part in parts:
                    end = self._add(part, end)
            case Choice(options):
                end = self._new()
                for option in options:
                    self._free[self._add(option, self._from(start))].append((_ANYWHERE, end))
            case Repeat(part, low, high):
                for _ in range(low):
                    start = self._add(part, start)
                end = self._loop(part, start) if high is None else self._up_to(part, start, high - low)
        return end

    def _from(self, start: int) -> int:
        state = self._new()
        self._free[start].append((_ANYWHERE, state))
        return state

    def _loop(self, part: Node, start: int) -> int:
        loop = self._from(start)
        self._free[self._add(part, loop)].append((_ANYWHERE, loop))
        return loop

    def _up_to(self, part: Node, start: int, times: int) -> int:
        end = self._from(start)
        for _ in range(times):
            start = self._add(part, start)
            self._free[start].append((_ANYWHERE, end))
        return end

    def _reached(self, states: Iterable[int], anchors: tuple[str, ...] = ()) -> frozenset[int]:
        """These states and those that follow without a character; ``anchors`` are those that hold here."""
        found = set(states)
        waiting = list(found)
        while waiting:
            for condition, state in self._free[waiting.pop()]:
                if (condition == _ANYWHERE or condition in anchors) and state not in found:
                    found.add(state)
                    waiting.append(state)
        return frozenset(found)
