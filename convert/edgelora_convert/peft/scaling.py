"""The factor that PEFT multiplies the change of a module with, and the rank that the configuration gives it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from edgelora_convert.peft.expression import PatternError, parse
from edgelora_convert.peft.pattern import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgelora_convert.peft.fields import Fields

_Value = TypeVar("_Value", int, float)

MAX_PATTERNS = 5000
"""More than one for every module of the largest models; the rest of a hostile file is not matched."""

_PLAIN = re.compile(r"[^\\^$*+?{}\[\]|()]*")


@dataclass(frozen=True)
class ByPattern(Generic[_Value]):
    """Values for modules whose path ends with a pattern; the first one that matches counts."""

    entries: tuple[tuple[Callable[[str], bool], _Value], ...]
    default: _Value

    def __getitem__(self, path: str) -> _Value:
        return next((value for matches, value in self.entries if matches(path)), self.default)

    @classmethod
    def of(cls, values: Mapping[str, _Value], default: _Value, name: str, fields: Fields) -> ByPattern[_Value]:
        """Compile the keys of the field ``name``; wrong ones are noted and left out."""
        if len(values) > MAX_PATTERNS:
            fields.refuse(name, f"{name} has {len(values)} entries; at most {MAX_PATTERNS} can be matched")
            return cls((), default)
        entries = []
        for key, value in values.items():
            try:
                entries.append((_matcher(key), value))
            except PatternError as error:
                fields.refuse(f"{name} {key}", f"{name} has the invalid expression {key[:80]!r} (it {error})")
        return cls(tuple(entries), default)


def _matcher(key: str) -> Callable[[str], bool]:
    """PEFT asks whether ``(.*\\.)?(key)$`` matches the path from its start (peft/utils/other.py, get_pattern_key).

    Most keys are plain names, in which only a dot stands for any character; those need no automaton.
    """
    if _PLAIN.fullmatch(key):
        return lambda path: _ends_with(path, key)
    parse(key)  # first alone, so that what is wrong is told in its own words
    return Pattern(rf"(.*\.)?({key})").matches


def _ends_with(path: str, key: str) -> bool:
    start = len(path) - len(key)
    if start < 0 or (start > 0 and path[start - 1] != "."):
        return False
    return all(sign in (".", char) for sign, char in zip(key, path[start:], strict=True))


@dataclass(frozen=True)
class Scaling:
    """rank, alpha and how they make a factor."""

    ranks: ByPattern[int]
    alphas: ByPattern[float]
    stabilised: bool = False

    def scale_of(self, path: str, rank: int) -> float:
        """alpha/r, or alpha/sqrt(r) (peft/tuners/lora/layer.py, LoraLayer.update_layer)."""
        return self.alphas[path] / (math.sqrt(rank) if self.stabilised else rank)

    @classmethod
    def of(cls, fields: Fields, alpha: str) -> Scaling:
        """From the fields r, ``alpha``, use_rslora, rank_pattern and alpha_pattern."""
        return cls(
            ByPattern.of(fields.counts_by_pattern("rank_pattern"), fields.count("r"), "rank_pattern", fields),
            ByPattern.of(fields.numbers_by_pattern("alpha_pattern"), fields.number(alpha), "alpha_pattern", fields),
            stabilised=bool(fields.get("use_rslora")),
        )
