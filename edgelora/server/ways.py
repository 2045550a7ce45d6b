"""How many ways a grammar leaves open at a time.

llama.cpp follows each of them through the whole vocabulary for a token whose likeliest is not allowed, 1.6 ms a way
with 152,000 tokens, and every answer waits meanwhile. Ways that begin alike and nest multiply, without an end where a
schema holds itself; so they are counted before the engine sees the grammar.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgelora.errors import GrammarError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MOST_WAYS = 100
MOST_SHARED = 32
"""So often what texts share is written once; beyond it they are ways of their own."""
MOST_BEGINNING = 200
"""Characters of a beginning that are compared."""
_HINT = "Require more properties, and let choices differ early, as in a required first property with a constant."


@dataclass(frozen=True, slots=True)
class Ways:
    """Of one rule: what every text of it ``begins`` with, blanks aside; the ways open at its start and anywhere.

    ``within`` names the references that it lies within and leads back to.
    """

    begins: str = ""
    first: int = 1
    most: int = 1
    within: frozenset[str] = frozenset()


def one_after_the_other(begins: str, parts: Iterable[Ways], open_at_once: int = 1) -> Ways:
    """Of a rule that begins with ``begins`` and has ``parts`` in turn."""
    parts = list(parts)
    within = frozenset[str]().union(*(part.within for part in parts))
    return Ways(begins[:MOST_BEGINNING], 1, max([open_at_once, *(part.most for part in parts)]), within)


def any_of(parts: Sequence[Ways], being_made: Collection[str]) -> Ways:
    """Of a choice of ``parts``, in rules that are ``being_made``. Raises GrammarError for too many."""
    first, most = sum(part.first for part in parts), 1
    if first > MOST_WAYS:
        raise GrammarError(f"the schema leaves {first} ways open at one place, at most {MOST_WAYS} can be", _HINT)
    for part in parts:
        alike = [other for other in parts if part.begins.startswith(other.begins)]  # open after its beginning
        if sum(bool(other.within.intersection(being_made)) for other in alike) > 1:
            raise GrammarError("parts of a choice in the schema begin alike, and both lead back to it", _HINT)
        most = max(most, sum(other.most for other in alike))
    if most > MOST_WAYS:
        raise GrammarError(f"the schema leaves {most} ways open that begin alike, at most {MOST_WAYS} can be", _HINT)
    whole = one_after_the_other(_shared([part.begins for part in parts]), parts)
    return replace(whole, first=first, most=max(first, most))


def texts_grammar(texts: Iterable[str], depth: int = 0) -> tuple[str, Ways]:
    """Any of ``texts`` in GBNF: what several begin with is written once. Raises GrammarError for too many ways."""
    different = list(dict.fromkeys(texts))
    shared = "" if depth else _shared(different)
    bodies, most = [], 1
    for alike in _by_first(different) if depth < MOST_SHARED else [[text] for text in different]:
        same = _shared(alike)
        body = literal(same)
        if len(alike) > 1:
            inner, ways = texts_grammar((text[len(same) :] for text in alike), depth + 1)
            body, most = f"{body} ({inner})", max(most, ways.most)
        bodies.append(body)
    if len(bodies) > MOST_WAYS:
        raise GrammarError(f"the schema leaves {len(bodies)} ways open at one place, at most {MOST_WAYS} can be", _HINT)
    return " | ".join(bodies), Ways(shared[:MOST_BEGINNING], len(bodies), max(most, len(bodies)))


def literal(text: str) -> str:
    """``text``, ASCII, as a literal of GBNF."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _shared(texts: Collection[str]) -> str:
    """What all of them begin with."""
    first, last = min(texts), max(texts)
    return first[: bisect_left(range(1, len(first) + 1), True, key=lambda length: not last.startswith(first[:length]))]


def _by_first(texts: Iterable[str]) -> Collection[list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(text[:1], []).append(text)
    return found.values()
