"""What the set-up says, on stderr: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

PLAIN_INTERVAL_S = 30.0


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Report:
    """Words and steps for the person who waits."""

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._steps = steps
        self._number = 0
        self._title = ""
        self._began = self._last_plain = time.monotonic()

    def say(self, text: str) -> None:
        """Print whole lines."""
        self._clear()
        print(text, file=self._stream, flush=True)

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._number += 1
        self._title = title
        self._began = self._last_plain = time.monotonic()
        if self._live:
            self.tick("")
        else:
            self.say(self._line("..."))

    def tick(self, detail: str) -> None:
        """Show how the step goes on; call it often, elsewhere than on a terminal it prints every 30 seconds."""
        now = time.monotonic()
        line = self._line(f"{detail}, {clock(now - self._began)}" if detail else clock(now - self._began))
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", file=self._stream, flush=True)
        elif now - self._last_plain >= PLAIN_INTERVAL_S:
            self._last_plain = now
            self.say(line)

    def done(self, result: str) -> None:
        """End the step with what came of it."""
        self.say(self._line(f"{result} ({clock(time.monotonic() - self._began)})"))

    def _line(self, text: str) -> str:
        return f"  [{self._number}/{self._steps}] {self._title}: {text}"

    def _clear(self) -> None:
        if self._live:
            print("\r\033[K", end="", file=self._stream)
