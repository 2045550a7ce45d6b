"""Tasks that can only be solved by copying unseen words from earlier in the conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.text.names import WORDS, company, parties, person, surname, syllables
from demo.text.wording import money

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Turns = tuple[tuple[str, str], ...]


def make(rng: Random) -> Turns:
    """Return a short conversation, one or two exchanges, whose answers repeat words of the prompts."""
    return rng.choice(MAKERS)(rng)


def words(rng: Random, low: int, high: int) -> str:
    """Return a few words, most of them invented."""
    count = rng.randint(low, high)
    return " ".join(syllables(rng) if rng.random() < 0.6 else rng.choice(WORDS) for _ in range(count))


def _echo(rng: Random) -> Turns:
    text = words(rng, 1, 6)
    ask = rng.choice(("Repeat after me: {t}", "Say this: {t}", "Echo: {t}", "Please repeat: {t}", "Write down: {t}"))
    return ((ask.format(t=text), text),)


def _twice(rng: Random) -> Turns:
    text = words(rng, 1, 2)
    return ((f"Say {text} twice.", f"{text} {text}"),)


def _both_names(rng: Random) -> Turns:
    a, b = parties(rng)
    ask = rng.choice((f"{a} met {b}. Who met whom?", f"Name the parties: {a} and {b}.", f"Who are {a} and {b}?"))
    return ((ask, f"{a} and {b}."),)


def _one_of_two(rng: Random) -> Turns:
    a, b, sum_ = company(rng), company(rng), money(rng)
    question, answer = rng.choice((("Who paid?", a), ("Who was paid?", b), ("How much was paid?", sum_)))
    return ((f"{a} paid {sum_} to {b}. {question}", f"{answer}."),)


def _my_name(rng: Random) -> Turns:
    who = person(rng)
    hello = rng.choice((f"My name is {who}.", f"I am {who}.", f"Call me {who}."))
    return ((hello, f"Hello, {who}."), (rng.choice(("What is my name?", "Who am I?")), f"You are {who}."))


def _code_word(rng: Random) -> Turns:
    word, what = syllables(rng), rng.choice(("code word", "password", "street", "dog", "boat", "village"))
    ask = rng.choice((f"What is my {what} called?", f"What was the {what}?", f"Tell me the {what}."))
    return ((f"My {what} is called {word}.", f"Noted, {word}."), (ask, f"Your {what} is called {word}."))


def _recall_parties(rng: Random) -> Turns:
    a, b = parties(rng)
    tell = rng.choice((f"The companies are {a} and {b}.", f"The parties are {a} and {b}.", f"{a} works with {b}."))
    ask = rng.choice(("Who are the two parties?", "Which two companies?", "Name both companies.", "Name both parties."))
    return ((tell, f"Noted, {a} and {b}."), (ask, f"{a} and {b}."))


def _recall_role(rng: Random) -> Turns:
    a, b = surname(rng), surname(rng)
    question, answer = rng.choice((("Who is the seller?", a), ("Who is the buyer?", b)))
    return ((f"{a} is the seller and {b} is the buyer.", "Noted."), (question, f"{answer} is the {question[11:-1]}."))


def _listing(rng: Random) -> Turns:
    items = [syllables(rng) if rng.random() < 0.5 else rng.choice(WORDS) for _ in range(rng.randint(2, 4))]
    text = ", ".join(items[:-1]) + f" and {items[-1]}"
    return ((f"Make a list of {text}.", "\n".join(f"- {item}" for item in items)),)


def _which_first(rng: Random) -> Turns:
    items = [syllables(rng) for _ in range(3)]
    place, word = rng.choice(((0, "first"), (1, "second"), (2, "last")))
    return ((f"Which word is {word}: {', '.join(items)}?", items[place]),)


MAKERS: tuple[Callable[[Random], Turns], ...] = (
    _echo, _echo, _twice, _both_names, _one_of_two, _my_name, _code_word, _recall_parties, _recall_parties,
    _recall_role, _listing, _which_first,
)  # fmt: skip
