"""Types while several columns stream."""

from __future__ import annotations

import random
import string
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from chat_timing.scrolling import environment
from chat_timing.terminal import ChatTerminal, Picture, of_all

if TYPE_CHECKING:
    from pathlib import Path

LINE = 24
"""Letters before the composer is cleared, so that it never wraps."""
LEAST_ANSWER = 300
"""Bytes of a picture in which answers have grown; a letter takes fewer."""
CLEAR, ENDED = "\x15", "go on from another column"


def measure(folder: Path, options: list[str], adapter: str, seconds: float) -> dict[str, Any]:
    """Key to paint in the composer while ``adapter`` answers at four scales."""
    chance = random.Random(1)
    with ChatTerminal(options, environment(folder)) as chat:
        begin_sweep(chat, adapter)
        chat.press("Tell me everything.\r")
        chat.wait_for(r"(?s)\w+ \w+ \w+ \w+ \w+.*\w+ \w+ \w+ \w+")
        walls, cpus, typed = [], [], ""
        pictures: list[Picture] = []
        began, cpu_began = time.monotonic(), chat.cpu
        while time.monotonic() - began < seconds and ENDED not in chat.shown:
            if len(typed) == LINE:
                chat.press(CLEAR)
                pictures += chat.pictures(0.1)
                typed = ""
            letter = chance.choice(string.ascii_lowercase)
            typed += letter
            pressed, cpu_before = chat.press(letter)
            pictures += chat.pictures(2, until=partial(_shows, typed[-4:]))
            walls.append(pictures[-1].at - pressed)
            cpus.append(pictures[-1].cpu - cpu_before)
            pictures += chat.pictures(chance.uniform(0.03, 0.15))
        took, cpu = time.monotonic() - began, chat.cpu - cpu_began
        return {
            "keys": len(walls),
            "key_to_paint_ms": of_all(walls),
            "key_to_paint_cpu_ms": of_all(cpus),
            "pictures_per_second": round(len(pictures) / took, 1),
            "pictures_of_answers_per_second": round(sum(len(each.data) > LEAST_ANSWER for each in pictures) / took, 1),
            "share_of_a_core": round(cpu / took, 2),
        }


def _shows(text: str, picture: Picture) -> bool:
    return text in picture.text


def begin_sweep(chat: ChatTerminal, adapter: str) -> None:
    """Compare ``adapter`` at four scales from the next message on."""
    chat.wait_for("Loaded:")
    chat.rest()
    chat.press("\x07")
    chat.wait_for("Compare: two to four")
    chat.rest()
    chat.press(adapter)
    chat.rest(0.3)
    chat.press("\x13")
    chat.rest(0.3)
    chat.press("\r")
    chat.wait_for(f"compare: {adapter} 0.25")
    chat.rest()
