"""Which adapter, or base, is refused for the death of an engine; engines here are fakes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    obliging,
)
from support.supervision import A, B, Listener, begun, computes, ending, loads, under, when

from edgelora.engine.messages import Command, Embed, Happened, Load, Reply, Submit, Tokenize
from edgelora.engine.restarts import MOST_DEATHS, WINDOW
from edgelora.engine.supervised import SupervisedEngine
from edgelora.errors import EdgeloraError, EngineDiedError, QuarantinedError
from edgelora.types import (
    AdapterFile,
    EngineDied,
    EngineRestarted,
    Finished,
    Started,
)

Work = tuple[str, set[str], int]


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


async def test_text_that_is_tokenized_meanwhile_takes_no_blame() -> None:
    world = FakeLinks()
    engine = await world.supervised()
    await engine.load(A)
    listener = Listener(engine)
    for death, kind in enumerate((EngineDiedError, QuarantinedError), 1):
        world.outcome = lambda command: [Started("x", (), 1, 0)] if computes(A)(command) else []
        tokenized = asyncio.create_task(engine.tokenize("some text"))
        answer = await begun(engine, under(A))
        world.latest.die(CRASH)
        assert isinstance(await answer, kind)
        with pytest.raises(EngineDiedError):
            await tokenized
        await listener.until(EngineRestarted, death)
    world.outcome = obliging
    assert isinstance(await ending(engine, under()), Finished)


async def test_a_base_that_crashes_over_text_is_refused() -> None:
    world = FakeLinks(when(lambda command: isinstance(command, Tokenize), [CRASH]))
    engine = await world.supervised()
    for kind in (EngineDiedError, QuarantinedError):
        with pytest.raises(kind):
            await engine.tokenize("some text")


async def test_an_embedding_clears_an_adapter_too() -> None:
    world = FakeLinks(when(loads(A), [CRASH]))
    engine = await world.supervised()
    for _ in range(3):
        world.outcome = when(loads(A), [CRASH])
        with pytest.raises(EngineDiedError):
            await engine.load(A)
        world.outcome = lambda command: (
            [Reply(command.call, (1.0,))] if isinstance(command, Embed) else obliging(command)
        )
        assert await engine.embed((1,), under(A).selection) == (1.0,)


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
