"""Small helpers with words that several domains share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def capital(text: str) -> str:
    """Return the text with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


def period(rng: Random, units: tuple[str, ...]) -> str:
    """Return a length of time such as `three weeks` or `30 days`."""
    count = rng.randint(2, 12)
    unit = rng.choice(units)
    if unit == "days" and rng.random() < 0.5:
        return f"{rng.choice((7, 10, 14, 20, 21, 28, 30, 45, 60, 90))} days"
    return f"{NUMBERS[count - 1]} {unit}" if rng.random() < 0.8 else f"{count} {unit}"


def money(rng: Random) -> str:
    """Return an amount such as `4,500 euros`."""
    amount = rng.randint(2, 99) * rng.choice((10, 50, 100, 500, 1000))
    return f"{amount:,} {rng.choice(('euros', 'dollars', 'pounds'))}"
