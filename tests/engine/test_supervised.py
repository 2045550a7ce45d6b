"""What happens around an engine that dies; engines here are fakes, those with processes are in test_deaths."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.engine_links import (
    CRASH,
    KILL,
    FakeLinks,
    base_info,
    obliging,
    status_of,
)
from support.supervision import A, Listener, begun, computes, ending, under, when

from edgelora.engine.messages import Know, Submit
from edgelora.engine.restarts import FIRST_PAUSE, MOST_DEATHS, WINDOW, Restarts
from edgelora.errors import DeadlineError, EngineDiedError, EngineError, QuarantinedError
from edgelora.types import (
    EngineDied,
    EngineRestarted,
    Finished,
    Started,
)

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
