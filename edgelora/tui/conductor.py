"""What happens when: opening, asking, switching adapters, stopping, going on after errors. Knows no Textual."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Literal

from edgelora.adapters.selection import format_selection
from edgelora.chat.history.records import OnBase
from edgelora.chat.session import ChatSession
from edgelora.errors import EdgeloraError, EngineDiedError
from edgelora.tui.adapters import Adapters
from edgelora.tui.engine_host import EngineHost
from edgelora.tui.keeping import Keeping, KeptAnswer
from edgelora.tui.picks import Pick
from edgelora.tui.showing import Showing
from edgelora.types import Failed, Progress, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.chat.tree import Exchange
    from edgelora.engine.client import EngineClient
    from edgelora.errors import HistoryError
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import AnswerView, Stage
    from edgelora.tui.state import ChatState, Phase
    from edgelora.types import EngineStats


Outcome = Literal["done", "stopped", "superseded"] | EdgeloraError
"""How a request ended. Superseded: something newer took the place of a re-reading."""


Answering = Callable[[ChatSession, str], Awaitable[None]]
"""How a prompt is answered."""

CLOSE_TIMEOUT = 2.0
"""Seconds."""


class Conductor:
    """Drives one session. Methods may be called at any time, each in a task of its own."""

    def __init__(self, setup: ChatSetup, state: ChatState, stage: Stage) -> None:
        self._setup = setup
        self._state = state
        self._stage = stage
        self._showing = Showing(state, stage)
        self.adapters = Adapters(setup, state, stage, self._report)
        self._host = EngineHost(setup, state, stage, self._go_down)
        self._session: ChatSession | None = None
        self._base = setup.baked or setup.base
        self.home = setup.base  # where adapters are applied beside the base, and what a baked one goes back to
        self._change: object = None  # the latest change of base that was asked for
        self.busy = asyncio.Lock()  # held by whoever asks the engine, or changes what is asked
        self.is_shown = asyncio.Event()  # the conversation that is gone on with; one that is being reopened not yet
        self.is_shown.set()
        self.stopped = False  # a person asked to stop what is running
        self._superseded = False  # something newer takes the place of the re-reading that is running
        self._closed = False
        self.keeping = Keeping(setup.open_history, self._complain)
        self.keeping.configure(setup.system, None)

    async def open(self, behind: asyncio.Event | None = None) -> None:
        """Open library and engine, also again after the engine died for good; the conversation is kept.

        ``behind`` is waited for first, while prompts wait for all of it.
        """
        self._loop = asyncio.get_running_loop()
        async with self.busy:
            self._enter("opening")
            if behind:
                await behind.wait()
            try:
                engine = await self._host.open(self._base, self.adapters.open(), self._report)
            except EdgeloraError as error:
                await self._go_down(error)
                return
            first = self._session is None
            session = self._use(engine)
            self._stage.hide_progress()
            if first and (self._setup.baked or not self._state.active):
                self._state.active = await self.adapters.first_pick()
                self._state.baked = self._state.settled = self._state.active if self._setup.baked else ()
            await self._read_again(session)

    async def change_base(self, base: Path, pick: Pick, *, baked: bool, library: AdapterLibrary | None = None) -> None:
        """Go on with ``base`` under ``pick``, which is ``baked`` into it or applied beside it. The conversation is read
        again there, once a running answer has ended. Where the base cannot be opened nothing changes.

        ``library``: the adapters for it, where it is another base than before and not the same one with some baked in.
        """
        change = self._change = object()
        await self.supersede()
        async with self.busy:
            if change is not self._change or self._closed:
                return
            before = self._state.phase
            self._enter("opening")
            try:
                engine = await self._host.open(base, self.adapters.open(), self._report)
            except EdgeloraError as error:
                self._stage.hide_progress()
                if self._state.phase == "opening":  # the engine may have died meanwhile
                    self._enter(before)
                await self._stage.say("error", f"{error}\nNothing has changed.")
                return
            await self._host.close()
            self._base = base
            if library:
                self.adapters.use(library)
                self.home = base
            self._state.active = pick
            self._state.baked = self._state.settled = pick if baked else ()
            session = self._use(engine)
            self._stage.hide_progress()
            await self._read_again(session)

    async def ask(self, prompt: str, *, instead_of: Exchange | None = None, answer: Answering | None = None) -> None:
        """Answer ``prompt`` under the active pick, once the base is open. A running re-reading is given up for it.

        ``instead_of``: as another branch beside that exchange. ``answer``: made in another way.
        """
        if not self.takes_prompts:
            self._stage.give_back(prompt)
            return
        await self.is_shown.wait()
        if instead_of:
            await self._stage.show_branch(instead_of.parent)
        await self._stage.show_prompt(prompt)
        await self.supersede()
        async with self.busy:
            if self._session is None or self._state.phase != "ready":
                self._stage.give_back(prompt)
                return
            if instead_of:
                self._move_to(self._session, instead_of.parent)
            await (answer or self._answer)(self._session, prompt)
            unread = self._state.active != self._state.settled and not self._state.columns
            if unread and not self._closed and self._state.phase == "ready":
                await self._read_again(self._session)

    def sampling(self, pick: Pick) -> SamplingParams:
        """How an answer under ``pick`` is sampled: as the conversation says, else as a lone adapter's card does."""
        if self.keeping.sampling or not self._state.base:
            return self.keeping.sampling or SamplingParams()
        entry = self._state.entry(pick[0].ref) if len(pick) == 1 else None
        return self._setup.sampling(self._state.base, entry.sampling if entry else {})

    async def switch(self, pick: Pick) -> None:
        """Answer with ``pick`` from the next message on. The conversation is read under it at once, or when the
        running answer ends."""
        refusal = self.adapters.refusal(pick)
        if refusal:
            await self._stage.say("error", refusal)
            return
        if self._state.baked and pick != self._state.baked:  # only that is in its weights
            await self.change_base(self.home, pick, baked=False)
            return
        self._change = None
        self._state.active = pick
        self._state.remembered.note_use(member.ref for member in pick)
        self._stage.refresh_state()
        await self.supersede()
        if self._session and self._state.phase in ("ready", "rereading"):
            async with self.busy:
                if self._state.active == pick and self._state.phase == "ready":
                    await self._read_again(self._session)

    async def stop(self) -> None:
        """Stop the running answer, or the re-reading, which goes back to the former pick."""
        if self._session and self._state.phase in ("answering", "rereading"):
            self.stopped = True
            await self._session.stop()

    async def supersede(self) -> None:
        """Give up a running re-reading, as something newer takes its place."""
        if self._session and self._state.phase == "rereading":
            self._superseded = True
            await self._session.stop()

    async def read_again_if_ready(self) -> None:
        """Compute the conversation under the active pick, where nothing else is going on."""
        if self._session and self._state.phase == "ready":
            await self._read_again(self._session)

    def apply_settings(self) -> None:
        """Ask with this conversation's system prompt from the next request on."""
        if self._session:
            self._session.system = self.keeping.system

    async def close(self) -> None:
        """End the engine, and wait a moment for what was running to end with it."""
        self._closed = True
        await self._host.close()
        if self._session:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT), self.busy:
                    pass
        await asyncio.to_thread(self.keeping.close)

    @property
    def session(self) -> ChatSession | None:
        """The conversation and its engine, once there is one."""
        return self._session

    def begin(self, phase: Phase) -> None:
        """Something is being asked of the engine; until :meth:`end` a person may stop it."""
        self.stopped = self._superseded = False
        self._enter(phase)

    def end(self) -> None:
        """It has ended."""
        self._stage.hide_progress()
        if self._state.phase != "down":
            self._enter("ready")

    async def stats(self) -> EngineStats | None:
        """What the engine says about itself; None while there is none."""
        return await self._host.stats()

    @property
    def takes_prompts(self) -> bool:
        """Whether a prompt would be answered; while the base opens it waits."""
        return self._state.phase in ("opening", "ready", "rereading")

    # --- opening

    def _use(self, engine: EngineClient) -> ChatSession:
        self._host.use(engine)
        self.keeping.base = OnBase(engine.base.name, engine.base.baked)
        if self._session:
            self._session.use(engine)
        else:
            self._session = ChatSession(engine, sampling=self.sampling(()), template=self._setup.template)
            self._session.go_on_from(self.keeping.tree.turns)
        self.apply_settings()
        return self._session

    def _move_to(self, session: ChatSession, exchange: Exchange | None) -> None:
        self.keeping.go_on_from(exchange)
        session.go_on_from(self.keeping.tree.turns)

    def _complain(self, error: HistoryError) -> None:
        """The history cannot be used; said once for a conversation, from the thread that writes."""
        said = self._stage.say("warning", f"This conversation is not kept: {error}")
        asyncio.run_coroutine_threadsafe(said, self._loop)

    # --- asking and re-reading

    async def _answer(self, session: ChatSession, prompt: str) -> None:
        self.begin("answering")
        pick, turns = self._state.active, len(session.conversation.turns)
        exchange = self.keeping.ask(prompt, format_selection(pick), self.keeping.head)
        view = KeptAnswer(await self._stage.begin_answer(exchange), self.keeping, exchange)
        outcome = await self._run(session, pick, prompt, view)
        self.end()
        if len(session.conversation.turns) == turns:
            self._stage.give_back(prompt)
        if not view.has_ended:
            await view.abandon()
        if isinstance(outcome, EdgeloraError):
            await self._explain(pick, outcome)
        else:
            self._state.settled = pick
        self._stage.refresh_state()

    async def _read_again(self, session: ChatSession) -> None:
        """Compute the conversation under the active pick; where that is stopped or fails, go back to the former."""
        self.begin("rereading")
        pick = self._state.active
        outcome = await self._run(session, pick, None, None)
        self.end()
        if isinstance(outcome, EdgeloraError):
            await self._explain(pick, outcome)
        if outcome == "done":
            self._state.settled = pick
        elif outcome != "superseded" and not isinstance(outcome, EngineDiedError) and self._state.phase != "down":
            former = self._state.settled if self._state.settled != pick or outcome == "stopped" else ()
            self._state.active = self._state.baked or former
        self._stage.refresh_state()

    # --- what both share

    async def _run(self, session: ChatSession, pick: Pick, prompt: str | None, view: AnswerView | None) -> Outcome:
        """Run one request to its end: an answer, or a re-reading where there is no prompt."""
        try:
            resolved = await self.adapters.resolve(pick)
            session.sampling = self.sampling(pick)
            if not (self.stopped or self._superseded):
                events = session.reread(resolved) if prompt is None else session.ask(prompt, resolved)
                async with aclosing(events):
                    async for event in events:
                        if isinstance(event, Failed):
                            return event.error
                        await self._showing.take(event, pick, view)
        except EdgeloraError as error:
            return error
        return "superseded" if self._superseded else "stopped" if self.stopped else "done"

    async def _explain(self, pick: Pick, error: EdgeloraError) -> None:
        """Say what went wrong."""
        if not isinstance(error, EngineDiedError):  # the engine says so itself, to whoever watches it
            self.adapters.mark(pick, error)
            await self._stage.say("error", str(error))

    async def _go_down(self, error: EdgeloraError) -> None:
        if self._state.phase == "down":
            return
        self._enter("down")
        self._state.note_engine_gone()
        self._stage.hide_progress()
        again, leave = self._state.key("restart"), self._state.key("quit")
        kept = "the conversation is kept" if self._session else "nothing is lost"
        await self._stage.say("error", f"{error}\n{again} tries again; {kept}. {leave} quits.")

    def _enter(self, phase: Phase) -> None:
        self._state.phase = phase
        self._stage.refresh_state()

    def _report(self, progress: Progress) -> None:
        """Progress of opening or converting, from whatever thread."""
        self._loop.call_soon_threadsafe(self._show_progress, progress)

    def _show_progress(self, progress: Progress) -> None:
        if not self._closed:  # an engine that is given up while it opens may report once more
            label = progress.stage[:1].upper() + progress.stage[1:]
            self._stage.show_progress(label, progress.done, progress.total)
