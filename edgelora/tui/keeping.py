"""The conversation with its branches, in memory and in the history at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.chat.history.recorder import Recorder
from edgelora.chat.history.records import OnBase
from edgelora.chat.tree import Exchange, Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.chat.history.records import StoredConversation
    from edgelora.chat.history.store import History
    from edgelora.errors import HistoryError
    from edgelora.tui.stage import AnswerView
    from edgelora.types import Finished, SamplingParams


class Keeping:
    """Whoever asks says so here; without a history the branches live as long as the program."""

    def __init__(self, open_history: Callable[[], History] | None, complain: Callable[[HistoryError], object]) -> None:
        """``complain`` is called from another thread, once for a conversation that cannot be kept."""
        self._recorder = Recorder(open_history, complain) if open_history else None
        self.tree = Tree()
        self.base = OnBase()
        self.system = ""
        self.sampling: SamplingParams | None = None

    @property
    def head(self) -> Exchange | None:
        """What the next question goes on from."""
        return self.tree.head

    @property
    def conversation(self) -> int | None:
        """The number of this conversation in the history."""
        return self._recorder.conversation if self._recorder else None

    def ask(self, prompt: str, selection: str, after: Exchange | None) -> Exchange:
        """A question, asked on ``base``, which goes on from ``after``; None begins the conversation."""
        exchange = Exchange(prompt, selection, after, self.base)
        self.tree.exchanges.append(exchange)
        if self._recorder:
            self._recorder.base = self.base
            exchange.recording = self._recorder.ask(prompt, selection, after.recording if after else None)
        return exchange

    def write(self, exchange: Exchange, answer: str) -> None:
        """All of the answer so far."""
        exchange.answer = answer
        if exchange.recording:
            exchange.recording.write(answer)

    def finish(self, exchange: Exchange, answer: str, made_by: Finished) -> None:
        """The answer is complete, or was stopped; the next question goes on from it."""
        exchange.answer, exchange.made_by = answer, made_by
        self.tree.head = exchange
        if exchange.recording:
            exchange.recording.finish(answer, made_by)

    def break_off(self, exchange: Exchange, answer: str) -> None:
        """It ended by an error, or without a word: what came is kept, outside the branch in use."""
        exchange.answer = answer
        if not answer.strip() and exchange in self.tree.exchanges:
            self.tree.exchanges.remove(exchange)
        if exchange.recording:
            exchange.recording.break_off(answer)

    def go_on_from(self, exchange: Exchange | None) -> None:
        """The next question goes on from ``exchange``; None: from the beginning."""
        if exchange is not self.tree.head:
            self.tree.head = exchange
            if self._recorder:
                self._recorder.go_on_from(exchange.recording if exchange else None)

    def configure(self, system: str, sampling: SamplingParams | None) -> None:
        """The system prompt and the sampling of this conversation; empty and None: the defaults."""
        self.system, self.sampling = system, sampling
        if self._recorder:
            self._recorder.configure(system, sampling)

    def start_over(self, system: str = "") -> None:
        """A new conversation."""
        self.tree = Tree()
        if self._recorder:
            self._recorder.start_over()
        self.configure(system, None)

    def resume(self, stored: StoredConversation, system: str = "") -> None:
        """Go on with a kept conversation; ``system`` is for one without a system prompt of its own."""
        tree, recorded = Tree(), dict[int, Exchange]()
        numbers = tuple(turn.id for turn in stored.turns)
        recordings = self._recorder.resume(stored.info.id, numbers) if self._recorder else ()
        for index, turn in enumerate(stored.turns):
            parent = recorded[turn.parent] if turn.parent is not None else None
            exchange = Exchange(turn.prompt, turn.selection, parent, turn.base, turn.answer, turn.made_by)
            exchange.recording = recordings[index] if recordings else None
            recorded[turn.id] = exchange
        tree.exchanges = list(recorded.values())
        tree.head = recorded[stored.head] if stored.head is not None else None
        self.tree = tree
        self.configure(stored.system or system, stored.sampling)

    def close(self) -> None:
        """Write what is left. Blocks for a moment."""
        if self._recorder:
            self._recorder.close()


class KeptAnswer:
    """An answer that is shown and kept while it is made. Implements AnswerView."""

    def __init__(self, view: AnswerView, keeping: Keeping, exchange: Exchange) -> None:
        self._view, self._keeping, self._exchange = view, keeping, exchange
        self.has_ended = False

    async def write(self, text: str) -> None:
        """More text."""
        self._keeping.write(self._exchange, self._exchange.answer + text)
        await self._view.write(text)

    async def finish(self, finished: Finished) -> None:
        """It is complete, and a part of the conversation if there is a word in it."""
        self.has_ended = True
        answer = self._exchange.answer
        if answer.strip():
            self._keeping.finish(self._exchange, answer, finished)
        else:
            self._keeping.break_off(self._exchange, answer)
        await self._view.finish(finished)

    async def abandon(self) -> None:
        """It ended by an error, or before the engine was asked."""
        self.has_ended = True
        self._keeping.break_off(self._exchange, self._exchange.answer)
        await self._view.abandon()
