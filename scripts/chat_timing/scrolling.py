"""Opens a long conversation and scrolls through it."""

from __future__ import annotations

import random
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

from chat_timing.terminal import ChatTerminal, of_all
from edgelora.chat.history.records import ConversationInfo, OnBase, StoredConversation, StoredTurn
from edgelora.chat.history.store import History
from edgelora.types import Finished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MADE_BY = Finished("r", "stop", (), 10, 0, 5, 12.5, 80.0)
WORDS = (  # noqa: SIM905 - a sentence is easier to read
    "the base answers and an adapter changes how it does so because every layer adds a small product of two matrices "
    "to what it computes which costs little memory while the weights themselves stay as they were on the disk"
).split(" ")
CODE = """def scale(values: list[float], by: float = 1.0) -> list[float]:
    \"\"\"Each value times `by`.\"\"\"
    return [by * v for v in values]  # no copy is kept
"""
KEYS = {
    "pageup": "\x1b[5~", "pagedown": "\x1b[6~", "home": "\x1b[H", "end": "\x1b[F", "up": "\x1b[A", "down": "\x1b[B"
}  # fmt: skip
LAST_WORDS = "That is all there is to say."
LEAST_PAGE, LEAST_STEP = 1500, 300
"""Bytes of a picture in which a page has moved, or another message stands out; the scrollbar alone takes fewer."""
HELD = 1 / 30
"""Seconds between two presses, as a keyboard repeats a key that is held down."""


def measure(
    folder: Path, options: list[str], n_messages: int, n_presses: int, pause: float, n_trips: int
) -> dict[str, Any]:
    """``pause`` lies between a picture and the next key, in seconds; a trip is one to the beginning and back."""
    keep_long(folder / "history.sqlite3", n_messages)
    with ChatTerminal(options, environment(folder)) as chat:
        chat.wait_for("Loaded:")
        chat.rest()
        chat.press("\x0f")
        chat.wait_for("A long one")
        chat.rest()
        began, cpu = chat.press("\r")
        opened = chat.wait_for(LAST_WORDS)
        chat.rest(0.5)
        chat.press(KEYS["up"])
        chat.rest()
        walls, cpus, mute = [], [], 0
        for key in islice(cycle(_trip()), n_presses):
            least = LEAST_STEP if key in ("up", "down") else LEAST_PAGE
            pressed, cpu_before = chat.press(KEYS[key])
            painted = list(chat.pictures(3, until=lambda picture, least=least: len(picture.data) > least))
            if painted and len(painted[-1].data) > least:
                walls.append(painted[-1].at - pressed)
                cpus.append(painted[-1].cpu - cpu_before)
            else:
                mute += 1
            chat.rest(pause, at_most=pause)
        chat.rest()
        lag = _held(chat)
        memory = [chat.resident]
        for _ in range(n_trips):
            _to_the_end(chat, "pageup")
            _to_the_end(chat, "pagedown")
            memory.append(chat.resident)
        return {
            "messages": n_messages,
            "opened_ms": round((opened.at - began) * 1e3),
            "opened_cpu_ms": round((opened.cpu - cpu) * 1e3),
            "presses": len(walls),
            "presses_without_a_picture": mute,
            "key_to_paint_ms": of_all(walls),
            "key_to_paint_cpu_ms": of_all(cpus),
            "behind_a_held_key_ms": round(lag * 1e3),
            "resident_mib": [round(each / 2**20, 1) for each in memory],
        }


def _held(chat: ChatTerminal) -> float:
    """Seconds between the last press of a key that is held down for two seconds and the last picture of it."""
    chat.press(KEYS["end"])
    chat.rest()
    for _ in range(60):
        pressed, _cpu = chat.press(KEYS["pageup"])
        chat.rest(HELD, at_most=HELD)
    return max((picture.at - pressed for picture in chat.pictures(1)), default=0)


def _to_the_end(chat: ChatTerminal, key: str) -> None:
    """Press ``key`` until nothing moves any more."""
    moved = True
    while moved:
        for _ in range(20):
            chat.press(KEYS[key])
        moved = any(len(picture.data) > LEAST_PAGE for picture in chat.pictures(0.2))
        chat.rest(0.05)


def environment(folder: Path) -> dict[str, str]:
    """Of a chat that keeps everything it keeps in ``folder``."""
    return {"EDGELORA_HISTORY": str(folder / "history.sqlite3"), "EDGELORA_CHAT_STATE": str(folder / "chat.json")}


def keep_long(file: Path, n_messages: int) -> None:
    """A conversation of answers as they are: paragraphs, lists, code and tables of 60 to 300 words."""
    chance = random.Random(1)
    turns = tuple(
        StoredTurn(
            i + 1,
            i or None,
            f"Question {i}",
            f"{_answer(chance)}\n\n{LAST_WORDS}",
            "base",
            float(i),
            MADE_BY,
            OnBase("a base"),
        )
        for i in range(n_messages // 2)
    )
    history = History(file)
    history.add(StoredConversation(ConversationInfo(0, "A long one", "a base", 0, 1, 0), "", len(turns), turns))
    history.close()


def _answer(chance: random.Random) -> str:
    n_words = chance.randint(60, 300)
    parts: list[str] = []
    while sum(len(part.split()) for part in parts) < n_words:
        parts.append(_PARTS[chance.randrange(len(_PARTS))](chance))
    return "\n\n".join(parts)


def _words(chance: random.Random, least: int, most: int) -> str:
    words = chance.choices(WORDS, k=chance.randint(least, most))
    words[len(words) // 2] = f"**{words[len(words) // 2]}**"
    words[-1] = f"`{words[-1]}`"
    return " ".join(words).capitalize() + "."


_PARTS = (
    lambda chance: _words(chance, 30, 70),
    lambda chance: _words(chance, 30, 70),
    lambda chance: "\n".join(f"- {_words(chance, 5, 20)}" for _ in range(chance.randint(2, 6))),
    lambda chance: "\n".join(f"{i}. {_words(chance, 5, 20)}" for i in range(1, chance.randint(3, 6))),
    lambda chance: f"## {_words(chance, 2, 5)}\n\n{_words(chance, 20, 40)}",
    lambda chance: f"```python\n{CODE * chance.randint(1, 3)}```",
    lambda chance: "| name | what |\n|---|---|\n" + "\n".join(f"| {i} | {_words(chance, 3, 9)} |" for i in range(3)),
)


def _trip() -> Iterator[str]:
    """From the end up, from the beginning down, and the jumps between them; every key moves something."""
    yield from ["pageup"] * 18
    yield from ["pagedown"] * 6
    yield "home"
    yield from ["pagedown"] * 18
    yield from ["pageup"] * 6
    yield from ["down"] * 6
    yield "end"
    yield from ["up"] * 12
    yield "end"
