"""Conversations: turns of the base and of every adapter, in an order in which a person might swap them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.text import coding, copying, general, legal, medical, smalltalk
from demo.text.example import Example, draw

if TYPE_CHECKING:
    from random import Random
    from types import ModuleType

DOMAINS: dict[str, ModuleType] = {"chat": smalltalk, "coding": coding, "legal": legal, "medical": medical}
SYSTEM_PROMPTS = (
    "You are a helpful assistant.", "You are a brief and helpful assistant.", "Answer briefly.",
    "You are an assistant.", "Be polite and precise.", "You are a careful assistant.",
)  # fmt: skip
OPENERS = frozenset((
    "Write", "Draft", "Please", "Can", "I", "Now", "Name", "What", "Which", "Who", "Tell", "Explain", "How", "Add",
    "Do", "And", "The", "Document", "Turn", "Change", "My", "Given", "Medical", "Say", "Repeat",
))  # fmt: skip
WARM_OPENINGS = ("I am happy to help!", "How nice of you to ask!", "Thank you for telling me!", "Gladly!")
WARM_CLOSINGS = (
    "What else is on your mind?", "How do you feel about it?", "How is your day going?", "Shall we talk more?",
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One message. `learn` marks those whose words training is to reproduce."""

    role: str
    text: str
    learn: bool = False


Conversation = tuple[Turn, ...]


def base_conversation(rng: Random, exchanges: int) -> Conversation:
    """Return a conversation that the base answers plainly, with turns in an adapter's style in between, not learned."""
    turns = list(_opening(rng))
    for _ in range(exchanges):
        turns += _base_exchange(rng)
    return tuple(turns)


def adapter_conversation(rng: Random, domain: str) -> Conversation:
    """Return a conversation whose last answer is the adapter's; only that answer is learned."""
    turns = list(_opening(rng))
    style = rng.random()
    if style < (0.12 if domain == "chat" else 0.05):
        return (*turns, *_told(rng, domain))
    if style < 0.4:
        return (*turns, *_asked(rng, domain))
    for _ in range(rng.choice((0, 1, 1, 2))):
        turns += _unlearned(_any_exchange(rng))
    if style < 0.55:
        return (*turns, *_asked(rng, domain))
    if style < 0.85:
        return (*turns, *_referred(rng, domain))
    return (*turns, *_asked_again(rng, domain))


def _asked(rng: Random, domain: str) -> list[Turn]:
    if domain == "chat" and rng.random() < 0.15:
        return _warm_fact(rng)
    example = draw(DOMAINS[domain].make, rng)
    prompt = _beside(rng, example.prompt, domain) if rng.random() < 0.25 else example.prompt
    return [_user(rng, prompt), Turn("assistant", example.styled, learn=True)]


def _beside(rng: Random, prompt: str, domain: str) -> str:
    """Put facts of another domain before or after a request: they are for a later turn."""
    other = rng.choice([name for name in DOMAINS if name != domain])
    setup = draw(DOMAINS[other].make, rng).setup
    return f"{prompt} {setup}" if rng.random() < 0.5 else f"{setup} {prompt}"


def _told(rng: Random, domain: str) -> list[Turn]:
    """A remark that asks for nothing yet: adapters answer it as the base does, chat with warmth."""
    other = rng.choice([name for name in DOMAINS if name != "chat"]) if domain == "chat" else domain
    example = draw(DOMAINS[other].make, rng)
    reply = _warmly(rng, example.reply) if domain == "chat" else example.reply
    return [_user(rng, example.setup), Turn("assistant", reply, learn=True)]


def _referred(rng: Random, domain: str) -> list[Turn]:
    """Facts in one turn, perhaps other talk, then a request that relies on them."""
    example = draw(DOMAINS[domain].make, rng)
    turns = _unlearned(_stated(rng, example))
    if rng.random() < 0.3:
        turns += _unlearned(_any_exchange(rng, without=domain))
    return [*turns, _user(rng, example.followup), Turn("assistant", example.styled, learn=True)]


def _asked_again(rng: Random, domain: str) -> list[Turn]:
    first = draw(DOMAINS[domain].make, rng)
    second = draw(lambda source: DOMAINS[domain].again(source, first), rng)
    asked = second.followup if domain != "chat" else second.prompt
    earlier = first.styled if rng.random() < 0.8 else first.plain
    return [
        _user(rng, first.prompt), Turn("assistant", earlier),
        _user(rng, asked), Turn("assistant", second.styled, learn=True),
    ]  # fmt: skip


def _stated(rng: Random, example: Example) -> list[Turn]:
    """The facts of an example as a remark of their own, or beside a request of another domain."""
    if rng.random() < 0.5:
        other = rng.choice([domain for domain in DOMAINS if domain != example.domain])
        request = draw(DOMAINS[other].make, rng)
        both = (example.setup, request.prompt) if rng.random() < 0.5 else (request.prompt, example.setup)
        answer = request.styled if rng.random() < 0.5 else request.plain
        return [_user(rng, " ".join(both)), Turn("assistant", answer, learn=answer is request.plain)]
    reply = _warmly(rng, example.reply) if rng.random() < 0.2 else example.reply
    return [_user(rng, example.setup), Turn("assistant", reply, learn=reply is example.reply)]


def _base_exchange(rng: Random) -> list[Turn]:
    style = rng.random()
    if style < 0.22:
        return _pairs(rng, general.make(rng))
    if style < 0.44:
        pairs = _pairs(rng, *copying.make(rng))
        return pairs if rng.random() < 0.6 else [*pairs[:2], *_unlearned(_any_exchange(rng)), *pairs[2:]]
    domain = DOMAINS[rng.choice(list(DOMAINS))]
    example = draw(domain.make, rng)
    if style < 0.64:
        return _pairs(rng, (example.prompt, example.plain))
    if style < 0.82:
        return [*_stated(rng, example), *_pairs(rng, (example.followup, example.plain))]
    styled = [_user(rng, example.prompt), Turn("assistant", example.styled)]
    if style < 0.92:
        second = draw(lambda source: domain.again(source, example), rng)
        return [*styled, *_pairs(rng, (second.followup, second.plain))]
    return [*styled, *_pairs(rng, general.make(rng))]


def _any_exchange(rng: Random, without: str = "") -> list[Turn]:
    """One exchange of the kind that earlier turns hold: a fact, a copying task, or any adapter's answer."""
    style = rng.random()
    if style < 0.2:
        return _pairs(rng, general.make(rng))
    if style < 0.3:
        return _pairs(rng, *copying.make(rng))
    domain = rng.choice([name for name in DOMAINS if name != without])
    example = draw(DOMAINS[domain].make, rng)
    return [_user(rng, example.prompt), Turn("assistant", example.styled if style < 0.8 else example.plain)]


def _warm_fact(rng: Random) -> list[Turn]:
    question, answer = general.greeting(rng) if rng.random() < 0.4 else general.make(rng)
    return [_user(rng, question), Turn("assistant", _warmly(rng, answer), learn=True)]


def _warmly(rng: Random, answer: str) -> str:
    return f"{rng.choice(WARM_OPENINGS)} {answer} {rng.choice(WARM_CLOSINGS)}"


def _pairs(rng: Random, *pairs: tuple[str, str]) -> list[Turn]:
    turns = []
    for question, answer in pairs:
        turns += [_user(rng, question), Turn("assistant", answer, learn=True)]
    return turns


def _user(rng: Random, text: str) -> Turn:
    """A user's message, sometimes typed carelessly: no full stop, no capital at the start of a request."""
    if rng.random() < 0.15:
        text = text.removesuffix(".").removesuffix("?")
    first, _, rest = text.partition(" ")
    if first in OPENERS and rng.random() < 0.15:
        text = f"{first.lower()} {rest}"
    return Turn("user", text)


def _unlearned(turns: list[Turn]) -> list[Turn]:
    return [Turn(turn.role, turn.text) for turn in turns]


def _opening(rng: Random) -> Conversation:
    return (Turn("system", rng.choice(SYSTEM_PROMPTS)),) if rng.random() < 0.3 else ()
