"""Names without end: companies, people and words made of random syllables, beside a few ordinary ones.

A base trained on a closed list of names memorises it and never learns to copy from the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

ONSETS = (
    *"bcdfghjklmnprstvwyz" * 2, "bl", "br", "ch", "cl", "cr", "dr", "fl", "gl", "gr", "kr", "pl", "pr", "qu", "sc",
    "sh", "sl", "sp", "squ", "st", "str", "sw", "th", "tr", "tw", "wh",
)  # fmt: skip
VOWELS = (*"aeiou" * 4, "ai", "ea", "ee", "io", "oo", "ou")
CODAS = (
    "", "", "", "", "l", "m", "n", "r", "s", "t", "x", "ck", "ed", "er", "es", "ft", "ing", "le", "ll", "lm", "nd",
    "ne", "ng",
    "rk", "sh", "ss", "th", "ty",
)  # fmt: skip
SUFFIXES = ("Ltd", "Inc", "GmbH", "LLC", "AG", "Group", "Labs", "Partners", "Foods", "Systems", "& Sons", "Studio")
FIRST_NAMES = (
    "Anna", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Ida", "Jonas", "Kira", "Leon", "Maria",
    "Nina", "Oscar", "Paula", "Quinn", "Rosa", "Samir", "Tara", "Umar", "Vera", "Walter", "Yusuf", "Zoe", "Alice",
    "Bob", "John", "Jane", "Peter",
)  # fmt: skip
FIRMS = (
    "Acme", "Globex", "Northwind", "Initech", "Contoso", "Bluebird", "Silverline", "Riverside", "Oakfield", "Sunrise",
    "Harbour", "Redstone", "Greenway", "Summit", "Evergreen", "Lighthouse", "Alpine", "Cobalt", "Orion", "Maple",
)  # fmt: skip
WORDS = (
    "apple", "river", "stone", "window", "garden", "yellow", "quiet", "seven", "market", "winter", "paper", "silver",
    "bridge", "forest", "music", "button", "candle", "letter", "morning", "orange", "pepper", "rabbit", "summer",
    "ticket",
    "anchor", "basket", "castle", "dragon", "engine", "feather", "golden", "hammer", "island", "jacket", "kitchen",
    "ladder",
    "meadow", "needle", "ocean", "pencil", "queen", "rocket", "saddle", "tower", "under", "valley", "wagon", "young",
    "zebra",
    "amber", "bottle", "copper", "desert", "eagle", "falcon", "globe", "honey", "iron", "jungle", "kettle", "lemon",
    "mirror",
    "north", "olive", "planet", "quick", "rapid", "shadow", "tiger", "upper", "velvet", "water", "square", "micro",
    "soft",
    "digital", "express", "global", "united", "royal", "modern", "smart", "power", "light", "health", "trade", "world",
    "up", "down", "add", "check", "value", "index", "text", "name", "string", "max", "min", "out", "of", "by", "to",
    "all",
)  # fmt: skip
TITLES = ("Mr", "Ms", "Dr", "Mrs")
ROLES = (
    ("the landlord", "the tenant"), ("the seller", "the buyer"), ("the supplier", "the customer"),
    ("the employer", "the employee"), ("the lender", "the borrower"), ("the licensor", "the licensee"),
)  # fmt: skip


def syllables(rng: Random, low: int = 2, high: int = 3) -> str:
    """Return an invented word in lower case, such as `velmora`."""
    count = low if rng.random() < 0.7 else rng.randint(low, high)
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(count)) + rng.choice(CODAS)


def surname(rng: Random) -> str:
    return syllables(rng).capitalize()


def person(rng: Random) -> str:
    """Return a person's name: `Ms Toreal`, `Anna Krulio`, `Fistan`."""
    style = rng.random()
    if style < 0.35:
        return f"{rng.choice(TITLES)} {surname(rng)}"
    if style < 0.6:
        return f"{rng.choice(FIRST_NAMES)} {surname(rng)}"
    return rng.choice(FIRST_NAMES) if style < 0.8 else surname(rng)


def company(rng: Random) -> str:
    """Return a company's name; two thirds are invented on the spot."""
    stem = surname(rng) if rng.random() < 0.6 else rng.choice(FIRMS)
    if rng.random() < 0.15:
        stem = rng.choice(WORDS).capitalize() + (rng.choice(WORDS) if rng.random() < 0.4 else "")
    if rng.random() < 0.15:
        stem = f"{stem} {surname(rng)}"
    return stem if rng.random() < 0.25 else f"{stem} {rng.choice(SUFFIXES)}"


def parties(rng: Random) -> tuple[str, str]:
    """Return two different parties to a contract: mostly companies, sometimes people or roles."""
    style = rng.random()
    if style < 0.08:
        return rng.choice(ROLES)
    make = person if style < 0.2 else company
    first, second = make(rng), make(rng)
    return (first, second) if first != second else parties(rng)
