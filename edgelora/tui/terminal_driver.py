"""A terminal that may go away without a signal: its window closed under nohup, its multiplexer or connection killed.

Textual would read the end of input again and again, and wait for ever for room in a queue that nobody writes out.
"""

from __future__ import annotations

import os
import select
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual._ansi_sequences import SYNC_END, SYNC_START
from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable

    from textual.app import App

EVERY = 1.0
"""Seconds between two looks whether the terminal is still there."""
GONE = 129
"""The exit status of a program that its terminal's hang-up ends: 128 + SIGHUP."""


class TerminalDriver(LinuxDriver):
    """Ends the app, as quitting does, when its terminal is gone, and paints it again when it comes back to it."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        # the thread that writes goes on without a terminal, so that nobody waits for it
        if self._file:
            self._file = cast(TextIOWrapper, _Screen(self._file, self._note_gone))
        self._picture: list[str] = []
        self._hang_up = select.poll()
        self._hang_up.register(self.fileno, 0)  # hang-ups are reported unasked
        self._next_look: TimerHandle | None = None
        self._look()

    def write(self, data: str) -> None:
        """A picture in one piece, because each wakes the thread that writes."""
        self._picture.append(data)
        if self._picture[0] != SYNC_START or data == SYNC_END:
            super().write("".join(self._picture))
            self._picture.clear()

    def run_input_thread(self) -> None:
        """Textual's, to the end of the app or of the terminal."""
        try:
            super().run_input_thread()
        except OSError:  # EIO from a terminal that hung up
            self._note_gone()

    def resume_application_mode(self) -> None:
        """Paint all of the screen again, of which a suspension leaves nothing."""
        super().resume_application_mode()
        self._loop.call_soon_threadsafe(self._app.refresh)

    def close(self) -> None:
        """Look no more."""
        super().close()
        if self._next_look and not self._app.is_running:
            self._next_look.cancel()

    def _look(self) -> None:
        if self._hang_up.poll(0):
            self._app.exit(return_code=GONE)
        else:
            self._next_look = self._loop.call_later(EVERY, self._look)

    def _note_gone(self) -> None:
        """From the threads that read and write."""
        self._loop.call_soon_threadsafe(self._app.exit, None, GONE)


class _Screen:
    """A terminal's file. Once it cannot be written to, ``gone`` is called, and the rest is dropped."""

    def __init__(self, file: TextIO, gone: Callable[[], None]) -> None:
        self._file = file
        self._gone = gone
        self.fileno = file.fileno

    def write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError:
            self._drop()

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # also what Python flushes when it ends
        os.close(nowhere)
        self._gone()
