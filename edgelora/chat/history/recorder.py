"""Keeps a conversation in the history while it is made. Nobody waits for the disk, and nobody is lost to it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from edgelora.chat.history.records import OnBase
from edgelora.errors import HistoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.chat.history.store import History
    from edgelora.types import Finished, SamplingParams

WRITE_EVERY = 1.0
"""Seconds of a streamed answer that a killed program may lose."""


class Recorder:
    """Writes in a thread of its own, in the order of the calls; all methods belong to one other thread.

    An error is told to ``complain``, from the writing thread, and ends the recording of this conversation; the chat
    goes on. ``open_history`` is called in that thread when the first question is asked. ``base`` is what questions
    are asked on from now on.
    """

    def __init__(self, open_history: Callable[[], History], complain: Callable[[HistoryError], object]) -> None:
        self.base = OnBase()
        self._open, self._complain = open_history, complain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgelora-history")
        self._history: History | None = None
        self._line = _Line()

    @property
    def conversation(self) -> int | None:
        """The number of the conversation that is being kept, once its first question is written."""
        return self._line.conversation

    def start_over(self) -> None:
        """The next question begins a new conversation."""
        self._line = _Line()

    def resume(self, conversation: int, turns: tuple[int, ...]) -> tuple[Recording, ...]:
        """Go on with a kept conversation. Returns the recordings of its ``turns``, to ask after."""
        line = self._line = _Line(conversation)
        return tuple(Recording(self, line, turn) for turn in turns)

    def configure(self, system: str, sampling: SamplingParams | None) -> None:
        """The system prompt and sampling that somebody chose for this conversation; empty and None: the defaults."""
        line = self._line
        line.system, line.sampling = system, sampling
        if line.begun:
            self._do(line, lambda history: history.configure(line.conversation or 0, system, sampling))

    def ask(self, prompt: str, selection: str, after: Recording | None) -> Recording:
        """A question, which goes on from ``after``; None begins the conversation."""
        line, base = self._line, self.base
        line.begun = True
        recording = Recording(self, line)
        self._do(line, lambda history: recording.begin(history, after, prompt, selection, base))
        return recording

    def go_on_from(self, recording: Recording | None) -> None:
        """Continue the branch that ``recording`` ends; None: begin another."""
        line = self._line
        self._do(line, lambda history: history.choose(line.conversation or 0, recording.turn if recording else None))

    def close(self) -> None:
        """Write what is left, and close the file. Safe to call twice."""
        with suppress(RuntimeError):
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
    """One conversation; its number is known once the writing thread wrote the first question."""

    def __init__(self, conversation: int | None = None) -> None:
        self.conversation = conversation
        self.begun = conversation is not None
        self.system = ""
        self.sampling: SamplingParams | None = None
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
        """The answer is complete, or was stopped. The conversation goes on from it."""
        self._do(lambda history, turn: history.finish(turn, answer, made_by))

    def break_off(self, answer: str) -> None:
        """It ended by an error: what came is kept, outside the branch in use; nothing where nothing came."""
        if answer.strip():
            self._do(lambda history, turn: history.write(turn, answer))
        else:
            self._do(self._forget)

    def begin(self, history: History, parent: Recording | None, prompt: str, selection: str, base: OnBase) -> None:
        """Write the question. Called in the writing thread."""
        line = self._line
        if line.conversation is None:
            line.conversation, self.turn = history.begin(
                prompt, selection, system=line.system, sampling=line.sampling, base=base
            )
        else:
            self.turn = history.ask(line.conversation, parent.turn if parent else None, prompt, selection, base)

    def _forget(self, history: History, turn: int) -> None:
        if history.forget_turn(turn):
            self._line.conversation = None  # the next question begins it again

    def _do(self, task: Callable[[History, int], object]) -> None:
        self._recorder._do(self._line, lambda history: task(history, self.turn or 0))
