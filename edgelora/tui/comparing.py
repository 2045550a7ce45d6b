"""Several picks that answer the same prompts beside each other, until a person has seen enough."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from edgelora.adapters.selection import MemberText, format_selection
from edgelora.chat.comparison import Comparison
from edgelora.chat.session import LeftOut, Loading, Notice
from edgelora.errors import EdgeloraError, EngineDiedError
from edgelora.tui.picks import Pick, pick_label
from edgelora.types import Failed, Finished, Prefilling, Token

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.chat.session import ChatSession, SessionEvent
    from edgelora.chat.tree import Exchange
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import ColumnsView, Stage
    from edgelora.tui.state import ChatState

LEAST, MOST = 2, 4
"""Columns."""
SWEEP = (0.25, 0.5, 0.75, 1.0)
"""The scales of a sweep."""

Columns = tuple[Pick, ...]
"""What answers beside each other, from left to right."""


def sweep(name: str) -> Columns:
    """One adapter at several scales."""
    return tuple((MemberText(name, scale),) for scale in SWEEP)


def columns_label(columns: Columns) -> str:
    """``compare: base | legal | medical``."""
    return f"compare: {' | '.join(map(pick_label, columns))}"


class Comparing:
    """Asks under several picks at once. Methods may be called at any time, each in a task of its own."""

    def __init__(self, setup: ChatSetup, state: ChatState, stage: Stage, conductor: Conductor) -> None:
        self._setup = setup
        self._state = state
        self._stage = stage
        self._conductor = conductor
        self._round: Round | None = None  # the latest, while the conversation did not go on

    def suggestion(self) -> Columns:
        """What would be compared: what was last, or the base with what is in use."""
        return self._state.compared or ((), *([self._state.active] if self._state.active else []))

    async def begin(self, columns: Columns) -> None:
        """Answer under each of ``columns`` from the next message on."""
        self._state.columns = self._state.compared = columns
        self._stage.refresh_state()
        await self._leave_baked()

    async def end(self, pick: Pick | None = None) -> None:
        """Answer under one pick again: ``pick``, or what the conversation went on from."""
        self._state.columns = ()
        self._stage.refresh_state()
        await self._conductor.switch(self._state.active if pick is None else pick)

    def ask(self, prompt: str) -> Coroutine[Any, Any, None]:
        """Ask the columns that there are now, whatever is chosen before it is their turn."""
        return self._ask(prompt, self._state.columns)

    @property
    def n_choices(self) -> int:
        """How many columns there are to choose from."""
        return len(self._round.columns) if self._round and self._round.is_open else 0

    def choose(self, column: int) -> None:
        """Go on from a column, now or when it has ended."""
        if self._round and self._round.wish(column):
            self._settle(self._round)

    def close(self) -> None:
        """The conversation goes on: from the columns so far no other can be chosen any more."""
        if self._round:
            self._round.view.close()
            self._round = None

    async def _leave_baked(self) -> None:
        if self._state.baked:  # only that is in its weights
            await self._conductor.change_base(self._conductor.home, self._state.baked, baked=False)

    async def _ask(self, prompt: str, columns: Columns) -> None:
        await self._leave_baked()
        await self._conductor.ask(prompt, answer=partial(self._answer, columns))

    async def _answer(self, columns: Columns, session: ChatSession, prompt: str) -> None:
        self._conductor.begin("answering")
        chosen = columns.index(self._state.active) if self._state.active in columns else 0
        view = await self._stage.begin_columns(columns, chosen)
        self._round = Round(columns, chosen, view, self._state, self._stage, self._conductor)
        self._stage.refresh_state()
        answered = await self._round.run(session, prompt)
        self._conductor.end()
        if answered:
            self._settle(self._round)
        else:
            self._stage.give_back(prompt)
            self.close()

    def _settle(self, round: Round) -> None:
        """The conversation goes on from the chosen column, and under it too where a person chose it."""
        self._state.settled = round.columns[round.chosen]
        if round.wished:
            self._state.active = self._state.settled
        self._stage.refresh_state()


class Round:
    """One prompt and its columns."""

    def __init__(
        self, columns: Columns, chosen: int, view: ColumnsView, state: ChatState, stage: Stage, conductor: Conductor
    ) -> None:
        self.columns = columns
        self.chosen = chosen
        self.wished = False  # somebody chose, rather than nobody
        self.view = view
        self._state = state
        self._stage = stage
        self._conductor = conductor
        self._comparison: Comparison | None = None
        self._asked: list[int] = []  # the columns that could be resolved, in the order of the comparison
        self._finished: dict[int, Finished] = {}
        self._reading: dict[int, Prefilling] = {}
        self._failed: set[int] = set()
        self._kept: list[Exchange] = []
        self._left_out = 0
        self._has_ended = False

    async def run(self, session: ChatSession, prompt: str) -> bool:
        """Ask, to the end of all columns. Gives whether there is an answer to go on from."""
        keeping = self._conductor.keeping
        self._kept = [keeping.ask(prompt, format_selection(pick), keeping.head) for pick in self.columns]
        resolved = await self._resolve()
        self._asked = list(resolved)
        sampling = [self._conductor.sampling(self.columns[column]) for column in resolved]
        self._comparison = Comparison(session, prompt, list(resolved.values()), sampling)
        if self._conductor.stopped:
            await self._comparison.stop()
        async for index, event in self._comparison.events():
            await self._take(self._asked[index], event)
        self._has_ended = True
        for column in resolved.keys() - self._finished.keys() - self._failed:
            self._give_up(column, "stopped before the first word")
        choosable = self._choosable()
        if choosable:
            self._choose(self.chosen if self.chosen in choosable else choosable[0])
        return bool(choosable)

    @property
    def is_open(self) -> bool:
        """Whether another column can still be chosen."""
        return not self._has_ended or bool(self._choosable())

    def wish(self, column: int) -> bool:
        """A person chooses ``column``. Gives whether the conversation goes on from it now; else it may at the end."""
        if column not in (self._choosable() if self._has_ended else range(len(self.columns))):
            return False
        self.wished = True
        self._choose(column)
        return self._has_ended

    def _choose(self, column: int) -> None:
        self.chosen = column
        self.view.choose(column)
        if self._has_ended and self._comparison:
            self._comparison.choose(self._asked.index(column))
            self._conductor.keeping.go_on_from(self._kept[column])
            made_by = self._finished[column]
            self._state.context_used = made_by.prompt_tokens + made_by.completion_tokens

    def _choosable(self) -> list[int]:
        return [self._asked[index] for index in self._comparison.choosable] if self._comparison else []

    async def _resolve(self) -> dict[int, ResolvedSelection]:
        resolved: dict[int, ResolvedSelection] = {}
        for column, pick in enumerate(self.columns):
            try:
                resolved[column] = await self._conductor.adapters.resolve(pick)
            except EdgeloraError as error:
                self._fail(column, error)
        return resolved

    async def _take(self, column: int, event: SessionEvent) -> None:
        match event:
            case Token(_, text):
                if self._reading:
                    self._reading.clear()
                    self._stage.hide_progress()
                kept = self._kept[column]
                self._conductor.keeping.write(kept, kept.answer + text)
                self.view.write(column, text)
            case Loading(name):
                self._stage.show_progress(f"Loading {name}", 0, 0)
            case Prefilling():
                self._reading[column] = event
                done, total = sum(r.done for r in self._reading.values()), sum(r.total for r in self._reading.values())
                self._stage.show_progress("Reading", done, total)
            case Finished():
                self._finished[column] = event
                self._keep(column, event)
                self.view.finish(column, event)
            case Failed(_, error):
                self._fail(column, error)
            case Notice(text):
                await self._stage.say("information", text)
            case LeftOut(_, total) if total > self._left_out:
                self._left_out = total
                await self._stage.say("information", f"The context is full: {total} of the oldest turns are left out.")

    def _keep(self, column: int, made_by: Finished) -> None:
        kept = self._kept[column]
        if kept.answer.strip():
            self._conductor.keeping.finish(kept, kept.answer, made_by)
        else:
            self._conductor.keeping.break_off(kept, kept.answer)

    def _fail(self, column: int, error: EdgeloraError) -> None:
        self._conductor.adapters.mark(self.columns[column], error)
        self._give_up(column, "broken off" if isinstance(error, EngineDiedError) else str(error))

    def _give_up(self, column: int, reason: str) -> None:
        self._failed.add(column)
        self._conductor.keeping.break_off(self._kept[column], self._kept[column].answer)
        self.view.fail(column, f"● {reason}")
