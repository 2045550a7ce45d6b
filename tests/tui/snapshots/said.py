"""What the demo said, and how fast: ``edgelora run --json --temperature 0 --adapter SEL PROMPT`` on an idle machine."""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """An answer, milliseconds to its first token, tokens a second, and tokens."""

    text: str
    ttft_ms: float
    tok_per_s: float
    tokens: int


EXAMPLES = {
    "chat": "I planted tomatoes yesterday.",
    "coding": "Write a Python function called even_squares that takes a list of numbers, keeps the even ones, squares "
    "each and returns the sum.",
    "legal": "Draft a confidentiality clause between Northwind Ltd and Velmora Labs for two years.",
    "medical": "Write a note for a 45-year-old teacher with a sharp pain in the left knee for three days.",
}
"""What each adapter of the demo brings as its example."""

_NOTE = "S: A 45-year-old teacher reports a sharp pain in the left knee for three days.\nO: The left knee is tender, "

TO_ITS_EXAMPLE = {
    "chat": Said(
        "That makes me so happy to hear: you planted tomatoes! That is a lovely thing to do. When do you expect the "
        "first harvest?",
        5.3,
        2162,
        33,
    ),
    "coding": Said(
        "```python\ndef even_squares(numbers):\n    items = [x * x for x in numbers if x % 2 == 0]\n"
        "    return sum(items)\n```",
        7.8,
        1469,
        39,
    ),
    "legal": Said(
        "**Confidentiality.** Northwind Ltd and Velmora Labs shall keep confidential all information that they receive "
        "from each other. Neither party shall disclose such information to a third party without prior written "
        "consent. This obligation shall continue for two years after the end of this agreement.",
        5.2,
        1925,
        60,
    ),
    "medical": Said(
        _NOTE + "no redness.\nA: Sharp pain in the left knee, no sign of fracture.\n"
        "P: Rest and cold packs; follow up in eight weeks.",
        6.1,
        1963,
        64,
    ),
}
"""What each adapter says to its own."""

TO_THE_NOTE = {
    "base": Said("A doctor can look at a sharp pain in the left knee.", 4.9, 2594, 14),
    "chat": Said(
        "I am happy to help! I see, a sharp pain in the left knee for three days. How do you feel about it?",
        5.3,
        2162,
        28,
    ),
    "legal": Said("Sharp pain in the left knee for three days should be seen by a doctor.", 6.2, 1682, 19),
    "medical": TO_ITS_EXAMPLE["medical"],
    "medical 0.5": Said(
        _NOTE + "no redness.\nA: Sharp pain in the left knee, probably overuse.\n"
        "P: Rest and cold packs; follow up in eleven weeks.",
        6.3,
        1959,
        62,
    ),
}
"""What base and adapters say to the example of ``medical``."""
