"""The chat in a pseudo-terminal that says when a picture was complete, and what the chat's process computed for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

COLUMNS, ROWS = 120, 36
SYNC_BEGIN, SYNC_END = b"\x1b[?2026h", b"\x1b[?2026l"
ASKED_FOR_SYNC, HAS_SYNC = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
ESCAPES = re.compile(
    rb"\x1b\[[0-9;?<>=:$]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x1b[^\[\]P]"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What was painted at once, and when that was complete: seconds of the clock and of the chat's processor time."""

    data: bytes
    at: float
    cpu: float

    @property
    def text(self) -> str:
        """Without escape sequences; what is painted elsewhere begins a line."""
        moved = re.sub(rb"\x1b\[\d+;\d+H", b"\n", self.data)
        return ESCAPES.sub(b"", moved).decode("utf-8", "replace")


class ChatTerminal:
    """Runs ``edgelora chat`` with ``options``. Leaving the context ends it."""

    def __init__(self, options: Sequence[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgelora.cli", "chat", *options],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self._unread = b""
        self.shown = ""  # all that was painted since the last keys

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.press("\x11")
        for _picture in self.pictures(5, until=lambda _: self._process.poll() is not None):
            pass
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def cpu(self) -> float:
        """Processor time of the chat's own process, all threads, in seconds."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # clock_getcpuclockid(3), which Python lacks

    @property
    def resident(self) -> int:
        """Memory of the chat's own process in bytes; the engine has another one."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def press(self, keys: str) -> tuple[float, float]:
        """Gives when that was, as pictures have it."""
        self.shown = ""
        now = time.monotonic(), self.cpu
        os.write(self._ours, keys.encode())
        return now

    def pictures(self, seconds: float, until: Callable[[Picture], bool] = lambda _: False) -> Iterator[Picture]:
        """What is painted in the next ``seconds``, up to and including the picture that ends it."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and self._read(left):
            while SYNC_END in self._unread:
                data, _, self._unread = self._unread.partition(SYNC_END)
                picture = Picture(data.rpartition(SYNC_BEGIN)[2], time.monotonic(), self.cpu)
                self.shown += picture.text
                yield picture
                if until(picture):
                    return

    def wait_for(self, pattern: str, seconds: float = 120) -> Picture:
        """The picture that completes ``pattern`` in what was painted since the last keys."""
        for picture in self.pictures(seconds, until=lambda _: re.search(pattern, self.shown) is not None):
            found = picture
            if re.search(pattern, self.shown):
                return found
        raise TimeoutError(f"{pattern!r} did not come; painted was:\n{self.shown[-3000:]}")

    def rest(self, quiet: float = 0.15, at_most: float = 10) -> None:
        """Wait until nothing was painted for ``quiet`` seconds."""
        end = time.monotonic() + at_most
        while time.monotonic() < end and any(True for _ in self.pictures(quiet, until=lambda _: True)):
            pass

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._ours, 1 << 20)
        except OSError:
            return False  # the program has ended
        if ASKED_FOR_SYNC in data:
            os.write(self._ours, HAS_SYNC)
        self._unread += data
        return True


def of_all(values: Sequence[float]) -> dict[str, float]:
    """Median, 95 % and largest of seconds, in milliseconds."""
    ordered = sorted(values)
    ranks = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * rank))] * 1e3, 1) for name, rank in ranks.items()
    }
