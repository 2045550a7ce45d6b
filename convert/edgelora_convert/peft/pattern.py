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
"""Repetitions such as ``(a{99}){99}`` become that many states, so their number in one expression is limited."""
MAX_ALL_STATES = 300_000

_ANYWHERE = ""
_NEW_STEP = 20
"""What finding a new set of states costs for each of them, beside one for a step that is remembered."""


class Effort:
    """How much matching may still cost, in steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Raises PatternError where nothing is left."""
        self._left -= steps
        if self._left < 0:
            raise PatternError("takes too long")


class PathPatterns:
    """Expressions that a path matches from one of its dots, or from its start, to its end; all are tried at once.

    All must be added before the first path is matched.
    """

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._moves: list[list[tuple[Callable[[str], object], int]]] = []
        self._free: list[list[tuple[str, int]]] = []  # steps without a character, with the anchor they depend on
        self._next: dict[tuple[frozenset[int], str | tuple[str, ...]], frozenset[int]] = {}
        self._same: dict[frozenset[int], frozenset[int]] = {}  # one object for equal sets, which are compared faster so
        self._orders: dict[int, int] = {}  # of the expressions, by the state after them
        self._limit = MAX_STATES
        self._start = self._add(parse(r"(.*\.)?"), self._new())

    def add(self, text: str, order: int) -> None:
        """Add an expression. Raises PatternError where it cannot be matched."""
        if len(text) > MAX_LENGTH:
            raise PatternError(f"is longer than {MAX_LENGTH} characters")
        self._limit = min(len(self._moves) + MAX_STATES, MAX_ALL_STATES)
        self._orders[self._add(parse(text), self._from(self._start))] = order

    def first(self, path: str) -> int | None:
        """The lowest order of those that match. Raises PatternError where that takes too long."""
        if not self._orders:
            return None
        self._effort.spend(1 + len(path))
        states = self._after(frozenset({0}), (START,) if path else (START, END))
        for char in path:
            states = self._after(states, char)
        states = self._after(states, (END,))
        return min((self._orders[end] for end in states & self._orders.keys()), default=None)

    def _after(self, states: frozenset[int], what: str | tuple[str, ...]) -> frozenset[int]:
        """The states after a character, or where these anchors hold; found once and remembered."""
        key = states, what
        if key not in self._next:
            self._effort.spend(_NEW_STEP * (1 + len(states)))
            if isinstance(what, str):
                found = self._reached(end for at in states for fits, end in self._moves[at] if fits(what))
            else:
                found = self._reached(states, what)
            self._next[key] = self._same.setdefault(found, found)
        return self._next[key]

    def _new(self) -> int:
        if len(self._moves) >= self._limit:
            raise PatternError("has too many repetitions, or there are too many like it")
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
