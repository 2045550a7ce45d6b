"""A program in a pseudo-terminal, and what it wrote there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from scripts.chat_timing.terminal import ESCAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ALTERNATE_SCREEN = (b"\x1b[?1049h", b"\x1b[?1049l")
SHOW_CURSOR = b"\x1b[?25h"
MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
ON_BY_ITSELF = {7, 25}
"""Line wrap and the cursor; every other mode is off in a terminal that nobody has used."""
KEYBOARD = re.compile(rb"\x1b\[([><])[0-9]*u")
"""An entry on the stack of kitty's keyboard modes, or one off it."""


PART = 512
"""Bytes that a terminal's queue has room for, if it has any."""


class Terminal:
    """Runs ``command`` with a terminal of its own. Everything it writes is kept in ``written``."""

    def __init__(self, command: Sequence[str], *, columns: int, rows: int, environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environment), start_new_session=True
        )
        self.written = b""
        self.slow = False
        """Read as a link of some kilobytes a second brings it."""
        self._seen = 0

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, and tell the program as a terminal does."""
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def send(self, keys: str) -> None:
        """Press keys; what was written before is not waited for any more."""
        self._read(0.1)
        self._seen = len(self.written)
        data = keys.encode()
        while data:  # what is long is taken in parts, while the program writes
            if select.select([], [self._ours], [], 0.1)[1]:
                data = data[os.write(self._ours, data[:PART]) :]
            self._read(0)

    def wait_for(self, pattern: str, seconds: float = 90) -> str:
        """Wait until the text since the last keys matches, and give that text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            self._read(0.1)
            if re.search(pattern, self.text):
                return self.text
        raise AssertionError(f"{pattern!r} did not come:\n{self.text}")

    def until(self, holds: Callable[[], bool], seconds: float = 90) -> None:
        """Wait until something is so, and read meanwhile what the program writes."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() >= end:
                raise AssertionError(f"did not come true:\n{self.text}")
            self._read(0.05)

    def wait_for_exit(self, seconds: float = 30) -> int:
        """The exit status."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.1)
        self._read(0.1)
        return self.process.wait(timeout=1)

    @property
    def text(self) -> str:
        """What was written since the last keys, without escape sequences."""
        return ESCAPES.sub(b"", self.written[self._seen :]).decode("utf-8", "replace")

    @property
    def is_restored(self) -> bool:
        """Whether the terminal's modes are what they were."""
        return termios.tcgetattr(self._theirs) == self.before

    def vanish(self) -> None:
        """Go away, as a terminal does whose window is closed."""
        os.close(self._ours)
        self._ours = -1

    @property
    def modes_left(self) -> list[str]:
        """What the program switched in the terminal and did not switch back."""
        modes = {int(mode): flag == b"h" for names, flag in MODE.findall(self.written) for mode in names.split(b";")}
        left = [f"mode {mode}" for mode, on in sorted(modes.items()) if on != (mode in ON_BY_ITSELF)]
        pushed = sum(1 if way == b">" else -1 for way in KEYBOARD.findall(self.written))
        return [*left, "keyboard"] if pushed > 0 else left

    def close(self) -> None:
        """End the program if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._ours >= 0:
            os.close(self._ours)
        os.close(self._theirs)

    def _read(self, seconds: float) -> None:
        while select.select([self._ours], [], [], seconds)[0]:
            try:
                data = os.read(self._ours, 400 if self.slow else 65536)
            except OSError:
                return
            self.written += data
            seconds = 0
            if self.slow:
                time.sleep(0.05)
                return
