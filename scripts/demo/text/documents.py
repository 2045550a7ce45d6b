"""Plain documents of the adapters' domains: the base meets their words here, but never as an answer in a chat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.text import coding, general, legal, medical, smalltalk
from demo.text.example import Example, draw
from demo.text.names import company, person, surname, syllables
from demo.text.wording import capital, money, period

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

PLACES = ("harbour", "station", "office", "market", "school", "bridge", "museum", "old mill")


def make(rng: Random) -> str:
    """Return one document of a few lines."""
    return rng.choice(MAKERS)(rng)


def _notes(rng: Random) -> str:
    examples = [draw(medical.make, rng) for _ in range(rng.randint(1, 3))]
    return "\n\n".join(f"{_told(rng, example)}\n{example.styled}" for example in examples)


def _contract(rng: Random) -> str:
    first = draw(legal.make, rng)
    clauses = [first]
    while len(clauses) < rng.randint(1, 3):
        clauses.append(draw(lambda source: legal.again(source, first), rng))
    title = f"Agreement between {first.facts['a']} and {first.facts['b']}\n\n" if rng.random() < 0.4 else ""
    return title + "\n\n".join(f"{clause.prompt}\n{clause.styled}" for clause in clauses)


def _module(rng: Random) -> str:
    examples = [draw(coding.make, rng) for _ in range(rng.randint(1, 4))]
    return "\n\n\n".join(f"# {_told(rng, example)}\n{example.styled[10:-4]}" for example in examples)


def _letter(rng: Random) -> str:
    examples = [draw(smalltalk.make, rng) for _ in range(rng.randint(1, 2))]
    words = " ".join(f'You wrote: "{example.prompt}" {example.styled}' for example in examples)
    return f"Dear {person(rng)},\n\n{words}\n\nYours, {surname(rng)}"


def _told(rng: Random, example: Example) -> str:
    """What a document is about, in front of it: without it the base would not learn which words call for which."""
    return example.prompt if rng.random() < 0.7 else example.setup


def _story(rng: Random) -> str:
    a, b, place = person(rng), person(rng), rng.choice(PLACES)
    thing = syllables(rng)
    return (
        f"{a} met {b} at the {place}. {b} had a {thing}. {a} wanted the {thing} and gave {b} {money(rng)} for it. "
        f"Then {a} took the {thing} home, and {b} went back to the {place}."
    )


def _report(rng: Random) -> str:
    a, b, boss = company(rng), company(rng), person(rng)
    return (
        f"{a} has bought parts from {b} for {period(rng, ('months', 'years'))}. {boss} of {a} said that {b} is a good "
        f"partner. {b} thanked {boss} and hopes to work with {a} again."
    )


def _facts(rng: Random) -> str:
    return " ".join(capital(general.make(rng)[1]) for _ in range(rng.randint(2, 5)))


def _said_twice(rng: Random) -> str:
    items = [surname(rng) for _ in range(rng.randint(2, 6))]
    return f"{', '.join(items)}\n{', '.join(items)}"


MAKERS: tuple[Callable[[Random], str], ...] = (
    _notes, _notes, _contract, _contract, _module, _module, _module, _module, _letter, _letter, _letter,
    _story, _report, _facts, _said_twice,
)  # fmt: skip
