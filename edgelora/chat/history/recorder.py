"""Keeps a conversation in the history while it is made. Nobody waits for the disk, and nobody is lost to it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from edgelora.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.chat.history.store import History
    from edgelora.types import Finished

WRITE_EVERY = 1.0
"""Seconds of a streamed answer that a killed program may lose."""


class Recorder:
    """Writes in a thread of its own, in the order of the calls; all methods belong to one other thread.

    An error is told to ``complain``, from the writing thread, and ends the recording of this conversation; the chat
    goes on. ``open_history`` is called in that thread when the first question is asked.
    """

    def __init__(
        self, open_history: Callable[[], History], complain: Callable[[HistoryError], object], *, base: str = ""
    ) -> None:
        self.base = base  # the name of the base that new conversations are begun on
        self._open, self._complain = open_history, complain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgelora-history")
        self._history: History | None = None
        self._line = _Line()

    def start_over(self) -> None:
        """The next question begins a new conversation."""
        self._line = _Line()

    def resume(self, conversation: int, head: int | None) -> None:
        """The next question goes on from the turn ``head`` of a kept conversation."""
        self._line = _Line(conversation)
        self._line.head = Recording(self, self._line, turn=head)

    def ask(self, prompt: str, selection: str, *, system: str = "", after: Recording | None = None) -> Recording:
        """A question, which goes on from ``after`` (by default from what was finished last)."""
        line = self._line
        recording = Recording(self, line)
        parent = after or line.head
        self._do(line, lambda history: recording.begin(history, parent, prompt, selection, system, self.base))
        return recording

    def go_on_from(self, recording: Recording) -> None:
        """Continue the branch that ``recording`` ends."""
        line = self._line
        line.head = recording
        self._do(line, lambda history: history.choose(line.conversation or 0, recording.turn))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    def _do(self, line: _Line, task: Callable[[History], object]) -> None:
        with suppress(RuntimeError):  # closed: an answer may end after the chat did
            self._thread.submit(self._run, line, task)

    def _run(self, line: _Line, task: Callable[[History], object]) -> None:
        if line.broken:
            return
        try:
            if self._history is None:
                self._history = self._open()
            task(self._history)
        except HistoryError as error:
            line.broken = True
            self._complain(error)

    def _close(self) -> None:
        if self._history:
            self._history.close()


class _Line:
    """One conversation as the writing thread knows it; ``head`` is what the next question goes on from."""

    def __init__(self, conversation: int | None = None) -> None:
        self.conversation = conversation
        self.head: Recording | None = None
        self.broken = False


class Recording:
    """One answer being kept."""

    def __init__(self, recorder: Recorder, line: _Line, turn: int | None = None) -> None:
        self._recorder, self._line = recorder, line
        self.turn = turn  # known once the question is written
        self._written = time.monotonic()

    def write(self, answer: str) -> None:
        """All of the answer so far; written once a second at most."""
        now = time.monotonic()
        if now - self._written >= WRITE_EVERY:
            self._written = now
            self._do(lambda history, turn: history.write(turn, answer))

    def finish(self, answer: str, made_by: Finished) -> None:
        """The answer is complete, or was stopped. The next question goes on from it."""
        self._line.head = self
        self._do(lambda history, turn: history.finish(turn, answer, made_by))

    def break_off(self, answer: str) -> None:
        """It ended by an error: what came is kept, outside the branch in use; nothing where nothing came."""
        if answer.strip():
            self._do(lambda history, turn: history.write(turn, answer))
        else:
            self._do(lambda history, turn: history.forget_turn(turn))

    def begin(
        self, history: History, parent: Recording | None, prompt: str, selection: str, system: str, base: str
    ) -> None:
        """Write the question. Called in the writing thread."""
        line = self._line
        if line.conversation is None:
            line.conversation, self.turn = history.begin(prompt, selection, system=system, base=base)
        else:
            self.turn = history.ask(line.conversation, parent.turn if parent else None, prompt, selection)

    def _do(self, task: Callable[[History, int], object]) -> None:
        self._recorder._do(self._line, lambda history: task(history, self.turn or 0))
