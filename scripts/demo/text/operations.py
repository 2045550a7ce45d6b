"""Small steps over lists of numbers and of words: how a request says them, and how Python does.

A coding task is a chain `keep` -> `change` -> `give`; each part may be missing. The code of a part is an expression
over `x` (one item) or over `items` (the list so far), so the same table writes the answers and judges them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step: its words in a request (`keeps ...`), as a wish (`keep ...`), and its expression; `{k}` is a number."""

    does: str
    do: str
    code: str


KEEP_NUMBERS = (
    Step("keeps the even ones", "keep the even ones", "x % 2 == 0"),
    Step("keeps the odd ones", "keep the odd ones", "x % 2 == 1"),
    Step("keeps the positive ones", "keep the positive ones", "x > 0"),
    Step("keeps the negative ones", "keep the negative ones", "x < 0"),
    Step("keeps those above {k}", "keep those above {k}", "x > {k}"),
    Step("keeps those below {k}", "keep those below {k}", "x < {k}"),
    Step("keeps the multiples of {k}", "keep the multiples of {k}", "x % {k} == 0"),
    Step("drops the zeros", "drop the zeros", "x != 0"),
    Step("drops every {k}", "drop every {k}", "x != {k}"),
)
CHANGE_NUMBERS = (
    Step("squares each", "square each", "x * x"),
    Step("doubles each", "double each", "x * 2"),
    Step("halves each", "halve each", "x / 2"),
    Step("negates each", "negate each", "-x"),
    Step("adds {k} to each", "add {k} to each", "x + {k}"),
    Step("subtracts {k} from each", "subtract {k} from each", "x - {k}"),
    Step("multiplies each by {k}", "multiply each by {k}", "x * {k}"),
    Step("takes the absolute value of each", "take the absolute value of each", "abs(x)"),
)
GIVE_NUMBERS = (
    Step("returns the sum", "return the sum", "sum(items)"),
    Step("returns the largest", "return the largest", "max(items)"),
    Step("returns the smallest", "return the smallest", "min(items)"),
    Step("returns how many there are", "return how many there are", "len(items)"),
    Step("returns the average", "return the average", "sum(items) / len(items)"),
    Step("returns them sorted", "return them sorted", "sorted(items)"),
    Step("returns them in reverse", "return them in reverse", "items[::-1]"),
    Step("returns the first", "return the first", "items[0]"),
    Step("returns the last", "return the last", "items[-1]"),
    Step("returns the list", "return the list", "items"),
)
KEEP_WORDS = (
    Step("keeps those longer than {k} letters", "keep those longer than {k} letters", "len(x) > {k}"),
    Step("keeps those shorter than {k} letters", "keep those shorter than {k} letters", "len(x) < {k}"),
    Step("keeps those that start with '{c}'", "keep those that start with '{c}'", "x.startswith('{c}')"),
    Step("keeps those that end with '{c}'", "keep those that end with '{c}'", "x.endswith('{c}')"),
    Step("keeps those that contain '{c}'", "keep those that contain '{c}'", "'{c}' in x"),
    Step("drops the empty ones", "drop the empty ones", "x != ''"),
)
CHANGE_WORDS = (
    Step("writes each in upper case", "write each in upper case", "x.upper()"),
    Step("reverses each", "reverse each", "x[::-1]"),
    Step("takes the first letter of each", "take the first letter of each", "x[:1]"),
    Step("adds '{c}' to each", "add '{c}' to each", "x + '{c}'"),
    Step("capitalizes each", "capitalize each", "x.capitalize()"),
    Step("repeats each {k} times", "repeat each {k} times", "x * {k}"),
)
GIVE_WORDS = (
    Step("returns them joined with spaces", "return them joined with spaces", "' '.join(items)"),
    Step("returns them joined with commas", "return them joined with commas", "','.join(items)"),
    Step("returns how many there are", "return how many there are", "len(items)"),
    Step("returns the longest", "return the longest", "max(items, key=len)"),
    Step("returns them sorted", "return them sorted", "sorted(items)"),
    Step("returns the first", "return the first", "items[0]"),
    Step("returns the last", "return the last", "items[-1]"),
    Step("returns the list", "return the list", "items"),
)
KINDS = {
    "numbers": (KEEP_NUMBERS, CHANGE_NUMBERS, GIVE_NUMBERS),
    "words": (KEEP_WORDS, CHANGE_WORDS, GIVE_WORDS),
}
SAMPLES: dict[str, tuple[tuple[object, ...], ...]] = {
    "numbers": (
        (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
        (40, -7, 0, 12, 33, -18, 9, 5, 5, 60, 0, -2),
        (-3, 100, 17, 0, 36, 19, 7),
    ),
    "words": (
        ("apple", "", "fig", "banana", "kiwi", "plum", "dragon fruit", "yam"),
        ("bread", "so", "strawberry", "jam", "well", "hut", "gold", "violet", "crab", "tea", "of"),
        ("Zebra", "moon", "lynx", "cloud", "a", "river", "kayak", "vest", "nerve", "peak", "drums", "wolf"),
    ),
}
