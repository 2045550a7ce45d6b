"""Asking, re-reading, stopping, and what is left out when the context fills, on an engine without a model."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.fake_engine import BOS, CHATML, FakeEngine, base_info

from edgelora.chat.conversation import Conversation
from edgelora.chat.prompt import prompt_tokens
from edgelora.chat.resolved import ResolvedSelection
from edgelora.chat.session import ChatSession, LeftOut, Loading, Notice, SessionEvent
from edgelora.chat.template import ChatTemplate
from edgelora.errors import AdapterError, ContextOverflowError, EngineDiedError, TemplateError
from edgelora.types import (
    AdapterFile,
    AdapterStatus,
    Failed,
    Finished,
    Member,
    Prefilling,
    SamplingParams,
    Selection,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
from pathlib import Path

LEGAL = AdapterFile("legal", Path("legal.gguf"), "1" * 64)
UNDER_LEGAL = ResolvedSelection(Selection.of([Member(LEGAL.sha256, 0.7)]), (LEGAL,))
ON_BASE = ResolvedSelection()


def session_on(engine: FakeEngine, *, template: str | None = None, system: str = "") -> ChatSession:
    return ChatSession(engine, sampling=SamplingParams(), template=template, system=system)


async def collect(events: AsyncIterator[SessionEvent]) -> list[SessionEvent]:
    return [event async for event in events]


async def test_an_answer_becomes_a_turn_and_the_next_prompt_begins_with_it() -> None:
    engine = FakeEngine(answers={"legal": "The parties agree."})
    session = session_on(engine)
    events = await collect(session.ask("A clause, please.", UNDER_LEGAL))
    assert isinstance(events[0], Loading)
    assert isinstance(events[-1], Finished)
    assert [adapter.scale for adapter in events[-1].adapters] == [0.7]
    assert "".join(event.text for event in events if isinstance(event, Token)) == "The parties agree."
    again = await collect(session.ask("Shorter.", UNDER_LEGAL))
    assert not any(isinstance(event, Loading) for event in again)
    first, second = (request.tokens for request in engine.requests)
    assert second[: len(first)] == first


async def test_an_adapters_own_end_token_ends_its_answers() -> None:
    engine = FakeEngine()
    session = session_on(engine)
    (end,) = await engine.tokenize("<|done|>")
    await collect(session.ask("One.", replace(UNDER_LEGAL, end_tokens=("<|done|>", "two words"))))
    await collect(session.ask("Two.", ON_BASE))
    assert [request.sampling.stop_tokens for request in engine.requests] == [(end,), ()]


async def test_an_adapters_own_system_prompt_is_used_while_it_is_selected() -> None:
    engine = FakeEngine()
    session = session_on(engine)
    resolved = replace(UNDER_LEGAL, system_prompts=("You are a lawyer.",))
    template = ChatTemplate(CHATML, "test")
    events = await collect(session.ask("One.", resolved))
    expected = await prompt_tokens(engine, Conversation("You are a lawyer.").messages("One."), template)
    assert engine.requests[-1].tokens == expected
    again = await collect(session.ask("Two.", resolved))
    said = [event.text for event in events + again if isinstance(event, Notice)]
    assert said == ["The adapter's own system prompt is used; --system gives another one."]
    session.start_over()
    await collect(session.ask("One.", ON_BASE))
    assert engine.requests[-1].tokens == await prompt_tokens(engine, Conversation().messages("One."), template)


@pytest.mark.parametrize(
    ("system", "carried", "baked", "used"),
    [
        ("Mine.", ("Its own.",), "Baked.", "Mine."),
        ("", ("Its own.",), "Baked.", "Its own."),
        ("", ("One.", "Another."), "", ""),
        ("", ("Same.", "Same."), "", "Same."),
        ("", (), "Baked.", "Baked."),
    ],
)
async def test_which_system_prompt_is_used(system: str, carried: tuple[str, ...], baked: str, used: str) -> None:
    engine = FakeEngine(replace(base_info(), system_prompt=baked))
    session = session_on(engine, system=system)
    await collect(session.ask("One.", replace(UNDER_LEGAL, system_prompts=carried)))
    template = ChatTemplate(CHATML, "test")
    assert engine.requests[-1].tokens == await prompt_tokens(engine, Conversation(used).messages("One."), template)


async def test_rereading_computes_what_the_next_question_reuses() -> None:
    engine = FakeEngine()
    session = session_on(engine)
    await collect(session.ask("One.", ON_BASE))
    reread = await collect(session.reread(UNDER_LEGAL))
    assert [request.background for request in engine.requests[-2:]] == [False, True]
    assert any(isinstance(event, Prefilling) for event in reread)
    assert not any(isinstance(event, Token) for event in reread)
    assert len(session.conversation.turns) == 1
    finished = (await collect(session.ask("Two.", UNDER_LEGAL)))[-1]
    assert isinstance(finished, Finished)
    assert finished.reused_tokens == len(engine.requests[1].tokens)


async def test_stop_keeps_what_was_said() -> None:
    engine = FakeEngine(answers={"base": "one two three four"}, token_delay=0.001)
    session = session_on(engine)
    finished = None
    async for event in session.ask("Count.", ON_BASE):
        if isinstance(event, Token) and "two" in event.text:
            await session.stop()
        finished = event
    assert isinstance(finished, Finished)
    assert finished.reason == "cancelled"
    assert session.conversation.turns[0].answer == "one two"


async def test_stop_before_the_engine_knows_the_request_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, is_loading = FakeEngine(), asyncio.Event()
    load = engine.load

    async def load_slowly(adapter: AdapterFile) -> AdapterStatus:
        is_loading.set()
        return await load(adapter)

    monkeypatch.setattr(engine, "load", load_slowly)
    engine.gate.clear()
    session = session_on(engine)
    asking = asyncio.create_task(collect(session.ask("Hello", UNDER_LEGAL)))
    await is_loading.wait()
    await session.stop()
    engine.gate.set()
    events = await asking
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "cancelled"
    assert session.conversation.turns == ()


async def test_leaving_early_cancels_the_request() -> None:
    engine = FakeEngine()
    async with aclosing(session_on(engine).ask("Hello", ON_BASE)) as events:
        async for event in events:
            if isinstance(event, Token):
                break
    assert engine.requests[0].id in engine.cancelled


@pytest.mark.parametrize("error", [AdapterError("broken"), EngineDiedError("gone")])
async def test_errors_end_the_events_and_the_conversation_goes_on(error: AdapterError | EngineDiedError) -> None:
    engine = FakeEngine(load_errors={"legal": error})
    session = session_on(engine)
    events = await collect(session.ask("Hello", UNDER_LEGAL))
    assert isinstance(events[-1], Failed)
    assert events[-1].error is error
    assert isinstance((await collect(session.ask("Hello", ON_BASE)))[-1], Finished)
    assert len(session.conversation.turns) == 1


async def test_a_failing_template_is_an_event_too() -> None:
    engine = FakeEngine(base=base_info(chat_template="{{ raise_exception('no') }}"))
    events = await collect(session_on(engine).ask("Hello", ON_BASE))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, TemplateError)


async def test_a_notice_is_said_once() -> None:
    session = session_on(FakeEngine(base=base_info(chat_template=None)))
    first, second = [await collect(session.ask("Hello", ON_BASE)) for _ in range(2)]
    assert sum(isinstance(event, Notice) for event in first) == 1
    assert not any(isinstance(event, Notice) for event in second)


async def test_oldest_turns_go_in_steps_and_the_prefix_stays_between_them() -> None:
    engine = FakeEngine(base=base_info(ctx=160), answers={"base": "word " * 10})
    session = session_on(engine, system="Always answer.")
    steps = []
    for n in range(40):
        events = await collect(session.ask(f"Question number {n} about it", ON_BASE))
        assert isinstance(events[-1], Finished)
        steps += [event for event in events if isinstance(event, LeftOut)]
        assert len(engine.requests[-1].tokens) <= 160 * 3 // 4
    system = await engine.tokenize("<|im_start|>system\nAlways answer.<|im_end|>")
    assert all(request.tokens[1 : 1 + len(system)] == system for request in engine.requests)
    assert session.conversation.left_out == steps[-1].total == sum(step.turns for step in steps)
    assert len(steps) <= 40 / 2
    changed = sum(
        later.tokens[: len(former.tokens)] != former.tokens
        for former, later in zip(engine.requests, engine.requests[1:], strict=False)
    )
    assert changed == len(steps)


async def test_a_message_that_is_too_long_alone_is_refused_and_nothing_is_lost() -> None:
    session = session_on(FakeEngine(base=base_info(ctx=160)))
    await collect(session.ask("Hello", ON_BASE))
    events = await collect(session.ask("word " * 200, ON_BASE))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, ContextOverflowError)
    assert "160" in events[-1].error.message
    assert session.conversation.left_out == 0
    assert isinstance((await collect(session.ask("Hello again", ON_BASE)))[-1], Finished)


async def test_rereading_what_fills_the_context_leaves_it_out() -> None:
    engine = FakeEngine(base=base_info(ctx=160), answers={"base": "word " * 150})
    session = session_on(engine)
    await collect(session.ask("Hello", ON_BASE))
    events = await collect(session.reread(UNDER_LEGAL))
    assert [type(event) for event in events] == [Loading, LeftOut]
    assert isinstance((await collect(session.ask("And now?", UNDER_LEGAL)))[-1], Finished)


@pytest.mark.parametrize("adds_bos", [True, False])
@pytest.mark.parametrize("writes_bos", [True, False])
async def test_a_prompt_has_one_bos_where_the_base_wants_one(adds_bos: bool, writes_bos: bool) -> None:
    engine = FakeEngine(adds_bos=adds_bos)
    template = ChatTemplate(CHATML, "the base")
    written = await engine.tokenize(template.render(Conversation().messages("Hi")))

    class WritingBos(FakeEngine):
        async def tokenize(
            self, text: str, *, parse_special: bool = True, add_special: bool = False
        ) -> tuple[int, ...]:
            tokens = await super().tokenize(text, parse_special=parse_special, add_special=add_special)
            return (BOS, *tokens) if text and writes_bos else tokens

    tokens = await prompt_tokens(WritingBos(adds_bos=adds_bos), Conversation().messages("Hi"), template)
    assert tokens == ((BOS, *written) if adds_bos or writes_bos else written)
