"""Reads a pickle as data. It is no unpickler: nothing is imported and nothing is called, so nothing can be executed.

A pickle is a program for a stack machine. The few operations that a dictionary of tensors needs are carried out here
on plain values; names of functions stay names. What such a name applied to arguments means is decided by the caller.
Any other operation, and any that does not make sense, is refused. The operations are described in pickletools.py of
Python's standard library.
"""

from __future__ import annotations

import pickletools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_OPERATIONS = 2_000_000
"""A tensor takes about 50 operations; more than this is no adapter, and would take seconds."""

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"})
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class RefusedPickleError(Exception):
    """A pickle that holds something else than tensors. The text says what."""


@dataclass(frozen=True)
class Name:
    """A function or class that the pickle names; it is never looked up."""

    text: str


class Meaning(Protocol):
    """What names mean to the caller. Both functions raise RefusedPickleError for what they do not know."""

    def applied(self, name: str, arguments: tuple[object, ...]) -> object:
        """The value of a function's call, by the function's dotted name."""

    def stored(self, reference: object) -> object:
        """What lies outside of the pickle under ``reference``."""


def read_pickle(program: bytes, meaning: Meaning) -> object:
    """The value a pickle describes: dictionaries with text as keys, tuples, lists, and what ``meaning`` made.

    Raises RefusedPickleError for anything else. Time and memory grow with the length of ``program`` only: values are
    never copied or compared, and nothing but text is hashed.
    """
    machine = _Machine(meaning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickletools, about backslashes in names, which are refused as such
            for count, (operation, argument, _) in enumerate(pickletools.genops(program)):
                if count > MAX_OPERATIONS:
                    raise RefusedPickleError("it is too large")
                machine.run(operation.name, argument)
    except (ValueError, IndexError, KeyError):  # no pickle at all, an empty stack, a memo that was never written
        raise RefusedPickleError("it is damaged") from None
    return machine.result()


class _Machine:
    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}
        self._operations: dict[str, Callable[[], None]] = {
            "MARK": lambda: self._stack.append(_MARK),
            "EMPTY_DICT": lambda: self._stack.append({}),
            "EMPTY_LIST": lambda: self._stack.append([]),
            "MEMOIZE": lambda: self._put(len(self._memo)),
            "TUPLE": lambda: self._stack.append(tuple(self._from_mark())),
            "APPEND": lambda: self._extend([self._stack.pop()]),
            "APPENDS": lambda: self._extend(self._from_mark()),
            "SETITEM": lambda: self._update(self._top(2)),
            "SETITEMS": lambda: self._update(self._from_mark()),
            "STACK_GLOBAL": self._stack_global,
            "BINPERSID": lambda: self._stack.append(self._meaning.stored(self._stack.pop())),
            "REDUCE": self._reduce,
            "BUILD": self._build,
        }

    def run(self, operation: str, argument: object) -> None:
        """Carry out one operation."""
        if operation in self._operations:
            self._operations[operation]()
        elif operation in _LITERALS:
            self._stack.append(argument)
        elif operation in _CONSTANTS:
            self._stack.append(_CONSTANTS[operation])
        elif operation in _TUPLES:
            self._stack.append(tuple(self._top(_TUPLES[operation])))
        elif operation in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            self._stack.append(self._memo[argument])
        elif operation in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
            self._put(argument)
        elif operation == "GLOBAL":
            self._stack.append(Name(str(argument).replace(" ", ".", 1)))
        elif operation not in _IGNORED:
            raise RefusedPickleError(f"it holds objects that are no tensors ({operation})")

    def result(self) -> object:
        """The one value that is left."""
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise RefusedPickleError("it is damaged")
        return self._stack[0]

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _top(self, count: int) -> list[object]:
        values = self._stack[len(self._stack) - count :]
        if len(values) < count or any(value is _MARK for value in values):
            raise RefusedPickleError("it is damaged")
        del self._stack[len(self._stack) - count :]
        return values

    def _from_mark(self) -> list[object]:
        values: list[object] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _extend(self, values: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise RefusedPickleError("it appends to something that is no list")
        target.extend(values)

    def _update(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise RefusedPickleError("it sets items of something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise RefusedPickleError("it holds a dictionary whose keys are no text")
            target[key] = value

    def _stack_global(self) -> None:
        module, name = self._top(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusedPickleError("it is damaged")
        self._stack.append(Name(f"{module}.{name}"))

    def _reduce(self) -> None:
        function, arguments = self._top(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise RefusedPickleError("it calls something that is no function")
        self._stack.append(self._meaning.applied(function.text, arguments))

    def _build(self) -> None:
        """Attributes of a dictionary, such as the versions that torch notes in state dicts, do not matter."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise RefusedPickleError("it sets attributes of something that is no dictionary")
