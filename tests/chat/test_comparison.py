"""One prompt under several selections, on an engine without a model and on a real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.engines import exact_config
from support.fake_engine import FakeEngine

from edgelora.chat.comparison import Comparison
from edgelora.chat.resolved import ResolvedSelection
from edgelora.chat.session import ChatSession, SessionEvent
from edgelora.config import locations
from edgelora.engine.client import open_engine
from edgelora.engine.core import EngineCore
from edgelora.errors import AdapterError
from edgelora.gguf.hashes import file_sha256
from edgelora.types import AdapterFile, Failed, Finished, Member, SamplingParams, Selection, Token

LEGAL = AdapterFile("legal", Path("legal.gguf"), "1" * 64)
MEDICAL = AdapterFile("medical", Path("medical.gguf"), "2" * 64)


def under(*members: tuple[AdapterFile, float]) -> ResolvedSelection:
    selection = Selection.of(Member(file.sha256, scale) for file, scale in members)
    return ResolvedSelection(selection, tuple(file for file, _ in members))


COLUMNS = [under(), under((LEGAL, 1.0)), under((LEGAL, 0.5)), under((LEGAL, 1.0), (MEDICAL, 0.3))]


def session_on(engine: FakeEngine) -> ChatSession:
    return ChatSession(engine, sampling=SamplingParams())


async def collect(comparison: Comparison) -> list[tuple[int, SessionEvent]]:
    return [event async for event in comparison.events()]


def texts(events: list[tuple[int, SessionEvent]], n_columns: int) -> list[str]:
    said = [""] * n_columns
    for column, event in events:
        if isinstance(event, Token):
            said[column] += event.text
    return said


async def test_all_columns_answer_at_the_same_time_from_the_same_conversation() -> None:
    engine = FakeEngine(answers={"base": "one two three", "legal": "the parties agree"})
    session = session_on(engine)
    await collect(Comparison(session, "First.", [under()]))
    assert session.conversation.turns == ()
    events = await collect(Comparison(session, "Hello.", COLUMNS))
    assert texts(events, 4) == ["one two three", *["the parties agree"] * 2, "An answer from legal+medical."]
    ends = [i for i, (_, event) in enumerate(events) if isinstance(event, Finished)]
    begins = [i for i, (_, event) in enumerate(events) if isinstance(event, Token)]
    assert len(ends) == 4
    assert {events[i][0] for i in begins[:4]} == {0, 1, 2, 3}
    asked = engine.requests[1:]
    assert len({request.tokens for request in asked}) == 1
    assert {request.selection for request in asked} == {column.selection for column in COLUMNS}


async def test_columns_share_a_seed_unless_one_was_asked_for() -> None:
    engine = FakeEngine()
    for sampling in (SamplingParams(), SamplingParams(), SamplingParams(seed=7)):
        await collect(Comparison(ChatSession(engine, sampling=sampling), "Hello.", COLUMNS))
    seeds = [request.sampling.seed for request in engine.requests]
    assert len(set(seeds[:4])) == len(set(seeds[4:8])) == 1
    assert None not in seeds
    assert seeds[0] != seeds[4]
    assert seeds[8:] == [7] * 4


async def test_the_conversation_goes_on_from_the_chosen_column() -> None:
    engine = FakeEngine()
    session = session_on(engine)
    comparison = Comparison(session, "Hello.", COLUMNS[:2])
    await collect(comparison)
    assert comparison.choosable == (0, 1)
    for column, answer in ((0, "An answer from base."), (1, "An answer from legal.")):
        comparison.choose(column)
        assert [turn.answer for turn in session.conversation.turns] == [answer]
    again = Comparison(session, "And now?", COLUMNS[:2])
    await collect(again)
    again.choose(0)
    assert [turn.answer for turn in session.conversation.turns] == ["An answer from legal.", "An answer from base."]
    assert comparison.choosable == ()
    comparison.choose(0)
    assert len(session.conversation.turns) == 2


async def test_a_new_conversation_cannot_be_overwritten() -> None:
    session = session_on(FakeEngine())
    comparison = Comparison(session, "Hello.", COLUMNS[:2])
    await collect(comparison)
    session.start_over()
    comparison.choose(1)
    assert session.conversation.turns == ()


async def test_a_column_that_fails_leaves_the_others() -> None:
    engine = FakeEngine(load_errors={"medical": AdapterError("medical is broken")})
    comparison = Comparison(session_on(engine), "Hello.", COLUMNS)
    events = await collect(comparison)
    failed = [column for column, event in events if isinstance(event, Failed)]
    assert failed == [3]
    assert comparison.choosable == (0, 1, 2)


async def test_one_column_is_stopped_or_all_are() -> None:
    engine = FakeEngine(answers={"base": "word " * 50, "legal": "word " * 50}, token_delay=0.001)
    session = session_on(engine)
    comparison = Comparison(session, "Hello.", COLUMNS[:3])
    reasons = dict[int, str]()
    async for column, event in comparison.events():
        if isinstance(event, Token) and not reasons:
            await comparison.stop(1)
        if isinstance(event, Finished):
            reasons[column] = event.reason
    assert reasons == {0: "stop", 1: "cancelled", 2: "stop"}

    comparison = Comparison(session, "Hello.", COLUMNS[:3])
    async for column, event in comparison.events():
        if isinstance(event, Token):
            await session.stop()
        if isinstance(event, Finished):
            reasons[column] = event.reason
    assert set(reasons.values()) == {"cancelled"}


async def test_who_is_stopped_before_the_beginning_is_not_asked() -> None:
    engine = FakeEngine()
    comparison = Comparison(session_on(engine), "Hello.", COLUMNS[:3])
    await comparison.stop()
    assert await collect(comparison) == []
    assert engine.requests == []


async def test_leaving_early_cancels_all() -> None:
    engine = FakeEngine(answers={"base": "word " * 500, "legal": "word " * 500}, token_delay=0.001)
    events = Comparison(session_on(engine), "Hello.", COLUMNS[:3]).events()
    async for _, event in events:
        if isinstance(event, Token):
            break
    await events.aclose()
    assert engine.cancelled == {request.id for request in engine.requests}


@pytest.mark.timeout(120)
async def test_columns_are_batched_and_say_what_they_say_alone(f32_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [locations.demo_adapters() / f"{name}.gguf" for name in ("legal", "medical")]
    legal, medical = (AdapterFile(path.stem, path, file_sha256(path)) for path in paths)
    columns = [under(), under((legal, 1.0)), under((medical, 0.5)), under((legal, 0.7), (medical, 0.3))]
    steps = Counter[str]()
    step = EngineCore.step
    monkeypatch.setattr(EngineCore, "step", lambda core: steps.update([under_way]) or step(core))
    alone = []
    for i, column in enumerate(columns):
        under_way = f"alone {i}"
        alone += await answers(f32_base, [column])
    assert len(set(alone)) == 4
    under_way = "together"
    assert await answers(f32_base, columns) == alone
    assert steps["together"] < 1.5 * max(steps[f"alone {i}"] for i in range(4))


async def answers(base: Path, columns: list[ResolvedSelection]) -> list[str]:
    """What columns say on an engine of their own."""
    engine = await open_engine(exact_config(base), in_process=True)
    try:
        session = ChatSession(engine, sampling=SamplingParams(max_tokens=24, temperature=0))
        return texts(
            await collect(Comparison(session, "Patient reports a dry cough for five days.", columns)), len(columns)
        )
    finally:
        await engine.close()
