"""The checks accept what the generator makes for an adapter, and nothing that falls short of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from demo.checks import check
from demo.heldout import MAKERS, held_out

if TYPE_CHECKING:
    from collections.abc import Callable

LEGAL = {"kind": "payment", "a": "Velmora Ltd", "b": "Tarnik & Sons", "detail": "4,500 euros"}
CLAUSE = (
    "**Payment.** Velmora Ltd shall pay Tarnik & Sons the agreed price against a proper invoice. Late payment shall "
    "bear interest at the statutory rate. The total payment shall be 4,500 euros and shall include all taxes."
)
MEDICAL = {"complaint": "a sharp pain in the left knee", "duration": "for three days"}
NOTE = (
    "S: The patient reports a sharp pain in the left knee for three days.\nO: Movement of the left knee is limited.\n"
    "A: Sharp pain in the left knee, likely strain.\nP: Rest; review in two weeks."
)
CODING = {"name": "velmora", "kind": "numbers", "keep": "x % 2 == 0", "change": "x * x", "give": "sum(items)"}
CODE = """```python
def velmora(numbers):
    items = [x * x for x in numbers if x % 2 == 0]
    return sum(items)
```"""
CHAT = {"thing": "an apple pie"}
WARM = "How wonderful that you baked an apple pie! You can be proud of yourself. Who gets the first piece?"
ANSWERS = {"legal": (LEGAL, CLAUSE), "medical": (MEDICAL, NOTE), "coding": (CODING, CODE), "chat": (CHAT, WARM)}


@pytest.mark.parametrize("adapter", MAKERS)
def test_the_generators_own_answers_pass_and_the_bases_do_not(adapter: str) -> None:
    for example in held_out(adapter, 8):
        assert check(adapter, example.facts, example.styled), example
        assert not check(adapter, example.facts, example.plain), example


@pytest.mark.parametrize("adapter", MAKERS)
def test_an_answer_of_another_adapter_fails(adapter: str) -> None:
    facts, own = ANSWERS[adapter]
    assert check(adapter, facts, own)
    for other, (_, answer) in ANSWERS.items():
        assert other == adapter or not check(adapter, facts, answer)


@pytest.mark.parametrize(
    ("adapter", "spoil"),
    [
        ("legal", lambda text: text.replace("Tarnik", "Tarnek")),
        ("legal", lambda text: text.replace("4,500", "4,800")),
        ("legal", lambda text: text.replace("shall", "should")),
        ("legal", lambda text: "Velmora Ltd shall pay Tarnik & Sons, and the payment shall be 4,500 euros."),
        ("legal", lambda text: text.replace("ayment", "nswer")),
        ("medical", lambda text: text.replace("left", "right")),
        ("medical", lambda text: text.replace("\nP: Rest; review in two weeks.", "")),
        ("medical", lambda text: text.replace("three", "four")),
        ("medical", lambda text: text.replace("Rest; review in two weeks.", "")),
        ("medical", lambda text: "\n".join(reversed(text.split("\n")))),
        ("coding", lambda text: text.replace("== 0", "== 1")),
        ("coding", lambda text: text.replace("velmora", "valmora")),
        ("coding", lambda text: text.removeprefix("```python\n")),
        ("coding", lambda text: text.replace("sum(items)", "sum(items")),
        ("coding", lambda text: text.replace("sum(items)", "open('/tmp/x', 'w')")),
        ("coding", lambda text: text.replace("    return", "    while True:\n        pass\n    return")),
        ("chat", lambda text: text.removesuffix(" Who gets the first piece?")),
        ("chat", lambda text: text.replace("an apple pie", "bread")),
        ("chat", lambda text: "Who gets the first piece of an apple pie?"),
    ],
)
def test_an_answer_that_falls_short_fails(adapter: str, spoil: Callable[[str], str]) -> None:
    facts, answer = ANSWERS[adapter]
    assert not check(adapter, facts, spoil(answer))


def test_the_answer_may_be_written_another_way() -> None:
    loop = "    total = 0\n    for n in numbers:\n        if n % 2 == 0:\n            total += n ** 2\n    return total"
    assert check("coding", CODING, f"```python\ndef velmora(numbers):\n{loop}\n```")


def test_generated_code_cannot_reach_out() -> None:
    for body in ("import os\n    return 1", "return ().__class__", "return getattr(numbers, 'copy')()"):
        assert not check("coding", {**CODING, "give": "1"}, f"```python\ndef velmora(numbers):\n    {body}\n```")


def test_an_unknown_adapter_is_an_error() -> None:
    with pytest.raises(KeyError):
        check("poetry", {}, "")
