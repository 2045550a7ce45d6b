"""What happens around an engine that dies; engines here are fakes, those with processes are in test_deaths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import chain, count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine_links import (
    CRASH,
    KILL,
    FakeLinks,
    Outcome,
    adapter_file,
    answered,
    base_info,
    obliging,
    status_of,
)

from edgelora.engine.messages import Command, Happened, Know, Load, Submit
from edgelora.engine.restarts import FIRST_PAUSE, MOST_DEATHS, WINDOW, Restarts
from edgelora.engine.supervised import SupervisedEngine
from edgelora.errors import DeadlineError, EdgeloraError, EngineDiedError, EngineError, QuarantinedError
from edgelora.types import (
    AdapterFile,
    EngineDied,
    EngineEvent,
    EngineRestarted,
    Failed,
    Finished,
    Member,
    Request,
    RequestEvent,
    Selection,
    Started,
)

A, B = adapter_file("a"), adapter_file("b")


Work = tuple[str, set[str], int]


def under(*files: AdapterFile, name: str = "x") -> Request:
    return Request(name, (1,), Selection.of(Member(file.sha256) for file in files))


async def collect(engine: SupervisedEngine, request: Request) -> list[RequestEvent]:
    return [event async for event in engine.generate(request)]


async def ending(engine: SupervisedEngine, request: Request) -> Finished | EdgeloraError:
    """How the request ended; that it ended once, with its last event."""
    events = await collect(engine, request)
    ends = [event for event in events if isinstance(event, Finished | Failed)]
    assert ends == events[-1:]
    return ends[0].error if isinstance(ends[0], Failed) else ends[0]


def when(condition: Callable[[Command], bool], then: Outcome) -> Callable[[Command], Outcome]:
    """Everything goes well, except where ``condition`` holds."""
    return lambda command: then if condition(command) else obliging(command)


def computes(*files: AdapterFile) -> Callable[[Command], bool]:
    """Is it a request under exactly these adapters?"""
    wanted = {file.sha256 for file in files}
    return lambda command: isinstance(command, Submit) and set(command.request.selection.adapters) == wanted


def loads(file: AdapterFile) -> Callable[[Command], bool]:
    return lambda command: isinstance(command, Load) and command.adapter == file


class Listener:
    """Collects the events of an engine."""

    def __init__(self, engine: SupervisedEngine) -> None:
        self.heard: list[EngineEvent] = []
        self._task = asyncio.create_task(self._listen(engine.events()))

    async def _listen(self, events: AsyncIterator[EngineEvent]) -> None:
        async for event in events:
            self.heard.append(event)

    async def until(self, kind: type[EngineEvent], count: int = 1) -> None:
        while sum(isinstance(event, kind) for event in self.heard) < count:
            await asyncio.sleep(0)


async def begun(engine: SupervisedEngine, request: Request) -> asyncio.Task[Finished | EdgeloraError]:
    """``request`` on its way into the engine."""
    task = asyncio.create_task(ending(engine, request))
    for _ in range(20):
        await asyncio.sleep(0)
    return task


# --- the life of an engine


async def test_a_running_answer_ends_with_an_error_and_the_next_request_works() -> None:
    world = FakeLinks(lambda command: [Started("x", (), 1, 0)] if isinstance(command, Submit) else obliging(command))
    engine = await world.supervised()
    listener = Listener(engine)
    answer = await begun(engine, under())
    world.latest.die(KILL)
    error = await answer
    assert isinstance(error, EngineDiedError)
    assert "SIGKILL" in error.message
    assert "ask again" in error.hint
    world.outcome = obliging
    assert isinstance(await ending(engine, under()), Finished)
    assert listener.heard == [EngineDied(KILL, restarting=True), EngineRestarted()]
    assert len(world.links) == 2


@pytest.mark.parametrize("pinned", [False, True])
async def test_the_new_engine_knows_the_adapters_of_the_old_one(pinned: bool) -> None:
    world = FakeLinks()
    engine = await world.supervised()
    await engine.load(A)
    await engine.pin(A.sha256, True)
    await engine.pin(A.sha256, pinned)
    world.latest.die(KILL)
    assert isinstance(await ending(engine, under(A)), Finished)
    know, submit = world.latest.commands
    assert know == Know(A, status_of(A), pinned)
    assert isinstance(submit, Submit)


async def test_requests_wait_while_the_engine_restarts() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    world.gate = asyncio.Event()
    world.latest.die(KILL)
    answer, tokens = await begun(engine, under()), asyncio.create_task(engine.tokenize("x"))
    loading = asyncio.create_task(engine.load(A))
    await asyncio.sleep(0)
    assert not any(task.done() for task in (answer, tokens, loading))
    world.gate.set()
    assert isinstance(await answer, Finished)
    assert await tokens == (1, 2)
    assert (await loading).name == "a"


async def test_a_request_that_had_not_begun_is_submitted_again() -> None:
    world = FakeLinks(lambda command: [])
    engine = await world.supervised()
    answer = await begun(engine, under())
    world.outcome = obliging
    world.latest.die(KILL)
    assert isinstance(await answer, Finished)


async def test_a_request_that_waits_can_be_cancelled() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    world.gate = asyncio.Event()
    world.latest.die(KILL)
    answer = await begun(engine, under())
    await engine.cancel("x")
    end = await answer
    assert isinstance(end, Finished)
    assert end.reason == "cancelled"


async def test_a_request_that_waits_runs_out_of_time() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    world.gate = asyncio.Event()
    world.latest.die(KILL)
    error = await ending(engine, replace(under(), deadline_s=0.01))
    assert isinstance(error, DeadlineError)
    assert "0.01 s" in error.message
    answer = await begun(engine, replace(under(), deadline_s=60))
    world.gate.set()
    assert isinstance(await answer, Finished)
    (submit,) = (command for command in world.latest.commands if isinstance(command, Submit))
    assert submit.request.deadline_s
    assert 0 < submit.request.deadline_s <= 60


async def test_closing_while_it_restarts() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    listener = Listener(engine)
    world.gate = asyncio.Event()
    world.latest.die(KILL)
    answer = await begun(engine, under())
    await engine.close()
    await engine.close()
    assert isinstance(await answer, EngineDiedError)
    assert isinstance(await ending(engine, under()), EngineDiedError)
    with pytest.raises(EngineDiedError, match="closed"):
        await engine.load(A)
    assert listener.heard == [EngineDied(KILL, restarting=True)]
    assert len(world.links) == 1


async def test_evicting_from_an_engine_that_dies_is_done() -> None:
    world = FakeLinks(lambda command: [KILL])
    engine = await world.supervised()
    await engine.evict("a")


async def test_another_file_in_the_bases_place_is_not_used() -> None:
    world = FakeLinks(opening=[base_info(), base_info("e" * 64)])
    engine = await world.supervised()
    listener = Listener(engine)
    await asyncio.sleep(0)
    world.latest.die(KILL)
    error = await ending(engine, under())
    assert isinstance(error, EngineError)
    assert "base.gguf has changed" in error.message
    await listener.until(EngineDied, 2)
    assert [event.restarting for event in listener.heard if isinstance(event, EngineDied)] == [True, False]
    assert [event async for event in engine.events()] == [EngineDied(error)]


# --- opening


@pytest.mark.parametrize("death", [CRASH, KILL])
async def test_opening_is_tried_twice(death: EngineDiedError) -> None:
    engine = await FakeLinks(opening=[death]).supervised()
    assert isinstance(await ending(engine, under()), Finished)


@pytest.mark.parametrize(
    ("deaths", "kind"),
    [([CRASH, CRASH], QuarantinedError), ([KILL, KILL], EngineDiedError), ([CRASH, KILL], EngineDiedError)],
)
async def test_a_base_that_cannot_be_opened_is_refused(
    deaths: list[EngineDiedError | object], kind: type[EngineError]
) -> None:
    with pytest.raises(kind, match=r"base\.gguf.*SIG") as caught:
        await FakeLinks(opening=deaths).supervised()  # type: ignore[arg-type]
    assert caught.value.hint


async def test_too_many_deaths_are_the_end() -> None:
    world = FakeLinks(when(computes(), [Started("x", (), 1, 0)]))
    engine = await world.supervised()
    listener = Listener(engine)
    for death in range(1, MOST_DEATHS):
        await asyncio.sleep(0)
        world.latest.die(KILL)
        await listener.until(EngineRestarted, death)
    world.latest.die(KILL)
    error = await ending(engine, under())
    assert isinstance(error, EngineDiedError)
    assert f"{MOST_DEATHS} times" in error.message
    assert world.pauses == [0.0, FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    await listener.until(EngineDied, MOST_DEATHS + 1)
    assert listener.heard[-1] == EngineDied(error)


async def test_an_answer_in_between_shows_that_it_works() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    for _ in range(20):
        world.latest.die(KILL)
        assert isinstance(await ending(engine, under()), Finished)
    assert set(world.pauses) == {0.0}


def test_deaths_are_forgotten_with_time() -> None:
    now = 0.0
    restarts = Restarts(lambda: now)
    for _ in range(3 * MOST_DEATHS):
        assert restarts.pause_after(KILL) == 0.0
        now += WINDOW


# --- who is to blame


async def test_an_adapter_that_crashes_the_engine_twice_while_it_is_loaded_is_refused() -> None:
    world = FakeLinks(when(loads(A), [CRASH]))
    engine = await world.supervised()
    with pytest.raises(EngineDiedError, match="SIGSEGV"):
        await engine.load(A)
    await engine.load(B)
    for _ in range(2):
        with pytest.raises(QuarantinedError, match=r"a\.gguf.* twice .*SIGSEGV") as caught:
            await engine.load(A)
    assert "other content" in caught.value.hint
    assert len(world.links) == 3  # refused without another crash
    assert isinstance(await ending(engine, under(A, B)), QuarantinedError)
    assert isinstance(await ending(engine, under(B)), Finished)
    await engine.load(AdapterFile("a", A.path, "mended"))


async def test_nobody_is_blamed_for_a_process_that_was_killed() -> None:
    world = FakeLinks(when(loads(A), [KILL]))
    engine = await world.supervised()
    for _ in range(MOST_DEATHS - 1):
        with pytest.raises(EngineDiedError):
            await engine.load(A)
    world.outcome = obliging
    await engine.load(A)
    assert isinstance(await ending(engine, under(A)), Finished)


async def test_an_adapter_that_crashes_while_it_answers_is_refused_the_second_time() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    await engine.load(A)
    listener = Listener(engine)
    for death, kind in enumerate((EngineDiedError, QuarantinedError), 1):
        world.outcome = when(computes(A), [Started("x", (), 1, 0)])
        answer = await begun(engine, under(A))
        world.latest.die(CRASH)
        assert isinstance(await answer, kind)
        await listener.until(EngineRestarted, death)
    assert isinstance(await ending(engine, under()), Finished)


async def test_an_answer_in_between_clears_an_adapter() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    for _ in range(4):
        world.outcome = when(computes(A), [Started("x", (), 1, 0)])
        answer = await begun(engine, under(A))
        world.latest.die(CRASH)
        assert isinstance(await answer, EngineDiedError)
        world.outcome = obliging
        assert isinstance(await ending(engine, under(A, B)), Finished)


async def test_of_several_suspects_only_the_guilty_one_is_refused() -> None:
    """A and B ran when the engine crashed, again and again because of B."""
    silent = [Started("x", (), 1, 0)]
    world = FakeLinks(lambda command: silent if isinstance(command, Submit) else obliging(command))
    engine = await world.supervised()
    answers = [await begun(engine, under(A, name="x")), await begun(engine, under(B, name="y"))]
    world.outcome = when(computes(B), [CRASH])
    world.latest.die(CRASH)
    ends = await asyncio.gather(*answers)
    assert isinstance(ends[0], EngineDiedError)  # it was running; the other had not begun and has crashed alone
    assert isinstance(ends[1], QuarantinedError)
    a, b = await asyncio.gather(ending(engine, under(A, name="x")), ending(engine, under(B, name="y")))
    assert isinstance(a, Finished)
    assert isinstance(b, QuarantinedError)


async def test_a_suspect_has_the_engine_for_itself_until_it_has_answered() -> None:
    world = FakeLinks(when(computes(A), [Started("a", (), 1, 0)]))
    engine = await world.supervised()
    answer = await begun(engine, under(A, name="a"))
    world.latest.die(CRASH)
    await answer
    answer = await begun(engine, under(A, name="a"))
    other = await begun(engine, under(B, name="b"))
    assert not other.done()
    for event in answered("a"):
        world.latest.engine.on_message(Happened((event,)))
    assert isinstance(await answer, Finished)
    assert isinstance(await other, Finished)
    answer = await begun(engine, under(A, name="a"))
    assert isinstance(await ending(engine, under(B, name="b")), Finished)  # side by side again
    answer.cancel()


async def test_adapters_that_crash_only_together_are_refused_only_together() -> None:
    world = FakeLinks(when(computes(A, B), [CRASH]))
    engine = await world.supervised()
    assert isinstance(await ending(engine, under(A, B)), QuarantinedError)
    for fine in (under(A), under(B), under()):
        assert isinstance(await ending(engine, fine), Finished)
    assert isinstance(await ending(engine, under(A, B)), QuarantinedError)


async def test_a_base_that_crashes_by_itself_is_refused() -> None:
    world = FakeLinks(when(computes(), [CRASH]))
    engine = await world.supervised()
    listener = Listener(engine)
    error = await ending(engine, under())
    assert isinstance(error, QuarantinedError)
    assert "base.gguf" in error.message
    assert isinstance(await ending(engine, under(A)), QuarantinedError)
    await listener.until(EngineDied, 3)
    assert listener.heard[-1] == EngineDied(error)


async def test_a_crash_while_nothing_was_asked_blames_nobody() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    for _ in range(3):
        world.latest.die(CRASH)
        await engine.tokenize("")
    assert isinstance(await ending(engine, under(A)), Finished)
    assert isinstance(await ending(engine, under()), Finished)


ADAPTERS = {name: adapter_file(name) for name in "abcd"}
NAMES = st.sets(st.sampled_from("abcd"), max_size=2)
WORK = st.tuples(st.sampled_from(["ask", "load", "kill"]), NAMES, st.integers(0, 9))


def deadly(loaded: set[str], asked: set[str]) -> Callable[[Command], Outcome]:
    """Adapters that crash the engine when they are loaded, or in the middle of an answer."""

    def outcome(command: Command) -> Outcome:
        if isinstance(command, Load) and command.adapter.sha256 in loaded:
            return [CRASH]
        if isinstance(command, Submit) and asked & set(command.request.selection.adapters):
            return [Started(command.request.id, (), 1, 0), CRASH]
        return obliging(command)

    return outcome


async def all_errors(world: FakeLinks, engine: SupervisedEngine, number: int, work: Work) -> list[EdgeloraError]:
    """Do one piece of ``work``, after some turns of the event loop, and give what it failed with."""
    kind, names, turns = work
    for _ in range(turns):
        await asyncio.sleep(0)
    files = [ADAPTERS[name] for name in names]
    if kind == "kill":
        world.latest.die(KILL)
        return []
    if kind == "ask":
        end = await ending(engine, under(*files, name=f"request {number}"))
        return [end] if isinstance(end, EdgeloraError) else []
    ends = await asyncio.gather(*map(engine.load, files), return_exceptions=True)
    return [end for end in ends if isinstance(end, EdgeloraError)]


@given(work=st.lists(WORK, max_size=30), loaded=st.sets(st.sampled_from("ab")), asked=st.sets(st.sampled_from("bc")))
async def test_the_innocent_are_never_refused(work: list[Work], loaded: set[str], asked: set[str]) -> None:
    hours = count(0.0, WINDOW)  # deaths never come too often
    world = FakeLinks(deadly(loaded, asked), clock=lambda: next(hours))
    engine = await world.supervised()
    errors = await asyncio.wait_for(
        asyncio.gather(*(all_errors(world, engine, number, each) for number, each in enumerate(work))), 30
    )
    for error in chain(*errors):
        assert isinstance(error, QuarantinedError | EngineDiedError)
        assert isinstance(error, EngineDiedError) or set(error.adapters) & (loaded | asked)
    for name, file in ADAPTERS.items():
        await ending(engine, under(file))
        end = await ending(engine, under(file))
        assert isinstance(end, Finished) or name in loaded | asked
        assert isinstance(end, QuarantinedError) or name not in asked
    assert isinstance(await ending(engine, under()), Finished)
    await engine.close()
