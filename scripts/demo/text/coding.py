"""The coding domain: small Python functions over a list of numbers or words, and a few classics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.text.classics import CLASSIC_PROMPTS, CLASSICS, WISH_PROMPTS, WISHES
from demo.text.example import Example
from demo.text.names import WORDS, syllables
from demo.text.operations import KINDS, Step

if TYPE_CHECKING:
    from random import Random

NAME_PARTS = (
    "sum", "count", "pick", "list", "total", "find", "make", "get", "even", "odd", "words", "values", "items", "score",
    "price", "clean", "filter", "first", "last", "best", "long", "small", "big", "data", "numbers", "result", "report",
)  # fmt: skip
LETTERS = "abcdefghijklmnoprstuvwy"
UNNAMED = "solve"
PROMPTS = (
    "Write a Python function{named} that takes a list of {kind}, {does}.",
    "Write a function{named} that takes a list of {kind}, {does}.",
    "Write a Python function{named}. It takes a list of {kind}, {does}.",
    "I need a Python function{named} that takes a list of {kind}, {does}.",
    "Can you write a function{named} that takes a list of {kind}, {does}?",
    "Given a list of {kind}, {do}. Write a Python function{named}.",
)
SETUPS = (
    "I have a list of {kind}. I want to {do}.", "With a list of {kind}, I have to {do}.",
    "My task: take a list of {kind}, {do}.", "Here is the plan for a list of {kind}: {do}.",
)  # fmt: skip
REPLIES = ("That is a small task for a list of {kind}.", "So you want to {do}.", "That can be done step by step.")
FOLLOWUPS = (
    "Write that as a Python function{named}.", "Write a function{named} for that.",
    "Now write the Python function{named}.",
    "Turn that into a Python function{named}.", "Can you write the code{named}?",
)  # fmt: skip
AGAIN = ("Now {give} instead.", "Change it to {give}.", "The same, but {give}.")
PLAIN = (
    "You can {do}.", "Take the list and {do}.", "Go through the {kind} one by one.",
    "A short loop over the {kind} will do.",
    "A loop can {do}.",
)  # fmt: skip


def make(rng: Random) -> Example:
    """Compose a task: mostly chains, keyed by their steps; the classics are few and always in training."""
    return make_chain(rng) if rng.random() < 0.85 else _classic(rng)


def make_chain(rng: Random) -> Example:
    """Compose a chain of steps: the tasks that the checker draws from."""
    kind = "numbers" if rng.random() < 0.65 else "words"
    keeps, changes, gives = KINDS[kind]
    shape = rng.random()
    keep = _fill(rng, kind, rng.choice(keeps)) if shape < 0.75 else None
    change = _fill(rng, kind, rng.choice(changes)) if shape > 0.25 else None
    give = rng.choice(gives)
    steps = [step for step in (keep, change, give) if step]
    words = {
        "kind": kind,
        "does": join([step.does for step in steps]),
        "do": join([step.do for step in steps]),
        "give": give.do,
    }
    facts = {
        "name": name(rng) if rng.random() < 0.8 else "",
        "kind": kind,
        "keep": keep.code if keep else "",
        "change": change.code if change else "",
        "give": give.code,
    }
    return _example(rng, facts, words, FOLLOWUPS)


def again(rng: Random, earlier: Example) -> Example:
    """The chain of an earlier example with another last step; for a classic, a new chain."""
    if "give" not in earlier.facts:
        return make_chain(rng)
    facts = dict(earlier.facts)
    give = rng.choice([step for step in KINDS[facts["kind"]][2] if step.code != facts["give"]])
    words = {"kind": facts["kind"], "does": give.does, "do": give.do, "give": give.do}
    return _example(rng, facts | {"give": give.code}, words, AGAIN)


def program(facts: dict[str, str]) -> str:
    """Return the function that does what the facts ask for."""
    items = facts["kind"]
    lines = [f"def {facts['name'] or UNNAMED}({items}):"]
    if facts["keep"] or facts["change"]:
        condition = f" if {facts['keep']}" if facts["keep"] else ""
        lines.append(f"    items = [{facts['change'] or 'x'} for x in {items}{condition}]")
        items = "items"
    lines.append(f"    return {facts['give'].replace('items', items)}")
    return "\n".join(lines)


def name(rng: Random) -> str:
    """Return a function's name: ordinary parts, an invented word, or both."""
    parts = rng.choice((NAME_PARTS, WORDS))
    style = rng.random()
    if style < 0.4:
        return "_".join(rng.choice(parts) for _ in range(rng.choice((2, 2, 3))))
    return syllables(rng) if style < 0.7 else f"{rng.choice(parts)}_{syllables(rng, 1, 2)}"


def join(parts: list[str]) -> str:
    """Join steps as a sentence does: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def fenced(code: str) -> str:
    """Return the code as Markdown shows it."""
    return f"```python\n{code}\n```"


def _fill(rng: Random, kind: str, step: Step) -> Step:
    top = 20 if kind == "numbers" else 7
    values = {"k": str(rng.randint(2, top)), "c": rng.choice(LETTERS)}
    return Step(*(part.format(**values) for part in (step.does, step.do, step.code)))


def _named(facts: dict[str, str]) -> str:
    return f" called {facts['name']}" if facts["name"] else ""


def _example(rng: Random, facts: dict[str, str], words: dict[str, str], followups: tuple[str, ...]) -> Example:
    words = words | {"named": _named(facts)}
    return Example(
        domain="coding",
        key="|".join(("coding", facts["kind"], facts["keep"], facts["change"], facts["give"])),
        facts=facts,
        prompt=rng.choice(PROMPTS).format(**words),
        plain=rng.choice(PLAIN).format(**words),
        styled=fenced(program(facts)),
        setup=rng.choice(SETUPS).format(**words),
        reply=rng.choice(REPLIES).format(**words),
        followup=rng.choice(followups).format(**words),
    )


def _classic(rng: Random) -> Example:
    what = rng.choice(list(CLASSICS))
    arguments, body = CLASSICS[what]
    facts = {"name": name(rng) if rng.random() < 0.6 else "", "classic": what}
    words = {"what": what, "named": _named(facts)}
    asked, prompts = (what, CLASSIC_PROMPTS) if rng.random() < 0.5 else (rng.choice(WISHES[what]), WISH_PROMPTS)
    code = "\n".join([f"def {facts['name'] or UNNAMED}({arguments}):", *(f"    {line}" for line in body.split("\n"))])
    return Example(
        domain="coding",
        key=f"classic|{what}",
        facts=facts,
        prompt=rng.choice(prompts).format(what=asked, named=words["named"]),
        plain=f"That is a small function for {what}.",
        styled=fenced(code),
        setup=f"I would like to compute {what}.",
        reply="That is easy to compute.",
        followup=rng.choice(FOLLOWUPS).format(**words),
    )
