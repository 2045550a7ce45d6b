"""The client, on an engine in a thread and on one in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import exact_config, greedy, opened, pool_bytes, run, selection

from edgelora.engine.client import EngineClient, open_engine
from edgelora.engine.process import start_process
from edgelora.errors import AdapterError, EngineDiedError, GGUFError
from edgelora.types import (
    BASE,
    AdapterFile,
    AdapterLoaded,
    EngineConfig,
    EngineDied,
    EngineEvent,
    Event,
    Failed,
    Finished,
    Progress,
    Request,
    SamplingParams,
    Token,
    ignore_progress,
)

PROMPT = tuple(range(300, 330))


@pytest.fixture(params=["thread", "process"])
def in_process(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "thread")


@pytest.fixture
async def engine(f32_base: Path, in_process: bool) -> AsyncIterator[EngineClient]:
    engine = await open_engine(exact_config(f32_base), in_process=in_process)
    yield engine
    await engine.close()


@pytest.fixture
async def in_a_process(f32_base: Path) -> AsyncIterator[EngineClient]:
    engine = await start_process(exact_config(f32_base), ignore_progress)  # one that nobody supervises
    yield engine
    await engine.close()


@pytest.fixture
def adapter(f32_base: Path, tmp_path: Path) -> AdapterFile:
    return write_adapter(tmp_path / "a.gguf", f32_base)


async def collect(engine: EngineClient, request: Request) -> list[Event]:
    return [event async for event in engine.generate(request)]


async def test_the_client_gives_what_the_engine_gives(
    engine: EngineClient, f32_base: Path, adapter: AdapterFile
) -> None:
    with opened(exact_config(f32_base), [adapter]) as core:
        expected = run(core, greedy("x", PROMPT, selection((adapter, 1.0))))["x"]
    assert (await engine.load(adapter)).effect > 0.01
    events = await collect(engine, greedy("x", PROMPT, selection((adapter, 1.0))))
    assert "".join(event.text for event in events if isinstance(event, Token)) == expected
    assert isinstance(events[-1], Finished)
    assert engine.base.mode == "pooled"


async def test_requests_run_side_by_side(engine: EngineClient) -> None:
    requests = [greedy(f"r{i}", PROMPT[i:], BASE, 8) for i in range(6)]
    results = await asyncio.gather(*(collect(engine, request) for request in requests))
    for request, events in zip(requests, results, strict=True):
        assert {event.request for event in events} == {request.id}  # type: ignore[union-attr]
        assert isinstance(events[-1], Finished)


async def test_leaving_the_stream_cancels_the_request(f32_base: Path, in_process: bool) -> None:
    engine = await open_engine(exact_config(f32_base, max_sequences=1), in_process=in_process)
    stream = engine.generate(Request("endless", PROMPT, BASE, SamplingParams(temperature=0, max_tokens=200)))
    async for event in stream:
        if isinstance(event, Token):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    events = await collect(engine, greedy("next", PROMPT, BASE, 2))
    await engine.close()
    assert isinstance(events[-1], Finished)


async def test_cancel_finishes_the_request(engine: EngineClient) -> None:
    events = []
    async for event in engine.generate(Request("x", PROMPT, BASE, SamplingParams(temperature=0))):
        events.append(event)
        if isinstance(event, Token):
            await engine.cancel("x")
    assert isinstance(events[-1], Finished)
    assert events[-1].reason in ("cancelled", "stop")


async def test_evict_waits_for_the_answer_to_end(engine: EngineClient, adapter: AdapterFile) -> None:
    await engine.load(adapter)
    request = greedy("x", PROMPT, selection((adapter, 1.0)), 40)
    order = []

    async def answer() -> None:
        async for event in engine.generate(request):
            if isinstance(event, Token) and not order:
                order.append("answering")
        order.append("answered")

    async def evict() -> None:
        while not order:
            await asyncio.sleep(0.001)
        await engine.evict(adapter.sha256)
        order.append("evicted")

    await asyncio.gather(answer(), evict())
    assert order == ["answering", "answered", "evicted"]


async def test_a_load_waits_for_room_that_answers_use(f32_base: Path, tmp_path: Path, in_process: bool) -> None:
    files = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(3)]
    config = exact_config(f32_base, adapter_bytes=pool_bytes(f32_base, 32), prepared_bytes=1)
    engine = await open_engine(config, in_process=in_process)
    try:
        answers = []
        for file in files[:2]:
            await engine.load(file)
            stream = engine.generate(greedy(file.name, PROMPT, selection((file, 1.0)), 60))
            await anext(stream)
            answers.append(stream)
        loaded = asyncio.create_task(engine.load(files[2]))
        ends = [[event async for event in stream][-1] for stream in answers]
        assert all(isinstance(end, Finished) for end in ends)
        assert (await loaded).sha256 == files[2].sha256
    finally:
        await engine.close()


async def test_tokenize_knows_special_tokens(engine: EngineClient) -> None:
    special = await engine.tokenize("<|im_end|>")
    assert len(special) == 1
    assert len(await engine.tokenize("<|im_end|>", parse_special=False)) > 1
    assert await engine.tokenize("") == ()


async def test_errors_of_loading_reach_the_caller(engine: EngineClient, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_text("no adapter")
    with pytest.raises((AdapterError, GGUFError)):
        await engine.load(AdapterFile("bad", tmp_path / "bad.gguf", "0" * 64))


async def test_engine_events_reach_every_listener(engine: EngineClient, adapter: AdapterFile) -> None:
    async def first() -> object:
        async for event in engine.events():
            return event
        return None

    listeners = [asyncio.create_task(first()) for _ in range(2)]
    await asyncio.sleep(0)
    await engine.load(adapter)
    for event in await asyncio.gather(*listeners):
        assert isinstance(event, AdapterLoaded)
        assert event.status.sha256 == adapter.sha256


async def test_opening_reports_progress(f32_base: Path, in_process: bool) -> None:
    seen: list[Progress] = []
    engine = await open_engine(exact_config(f32_base), in_process=in_process, report=seen.append)
    await engine.close()
    assert seen
    assert seen[-1].done == seen[-1].total


async def test_opening_a_broken_base_is_an_error(tmp_path: Path, in_process: bool) -> None:
    (tmp_path / "base.gguf").write_bytes(b"GGUF")
    with pytest.raises(GGUFError):
        await open_engine(EngineConfig(tmp_path / "base.gguf"), in_process=in_process)


async def test_after_close_everything_says_so(engine: EngineClient) -> None:
    await engine.close()
    await engine.close()
    (event,) = await collect(engine, greedy("x", PROMPT, BASE))
    assert isinstance(event, Failed)
    assert isinstance(event.error, EngineDiedError)
    with pytest.raises(EngineDiedError):
        await engine.tokenize("x")


async def test_ctrl_c_is_not_the_engines_business(in_a_process: EngineClient) -> None:
    os.kill(_pid(in_a_process), signal.SIGINT)
    events = await collect(in_a_process, greedy("x", PROMPT, BASE, 2))
    assert isinstance(events[-1], Finished)


def _pid(engine: EngineClient) -> int:
    pid: int = engine._link._process.pid  # type: ignore[attr-defined]
    return pid


async def test_a_second_request_of_the_same_name_does_not_disturb_the_first(engine: EngineClient) -> None:
    first = asyncio.create_task(collect(engine, greedy("x", PROMPT, BASE, 20)))
    await asyncio.sleep(0)
    (refused,) = await collect(engine, greedy("x", PROMPT, BASE, 20))
    assert isinstance(refused, Failed)
    assert isinstance((await first)[-1], Finished)


async def test_closing_in_the_middle_of_an_answer(engine: EngineClient) -> None:
    stream = engine.generate(Request("x", PROMPT, BASE, SamplingParams(temperature=0)))
    async for event in stream:
        if isinstance(event, Token):
            break
    await engine.close()
    await engine.cancel("x")
    await stream.aclose()
    assert [event async for event in engine.events()] == []


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL, 40])
async def test_however_it_dies_everybody_hears_it(in_a_process: EngineClient, number: int) -> None:
    engine = in_a_process

    async def heard() -> list[EngineEvent]:
        return [event async for event in engine.events()]

    before = asyncio.create_task(heard())
    await asyncio.sleep(0)
    os.kill(_pid(engine), signal.SIGSTOP)  # so that the answer cannot end before the engine does
    answer = asyncio.create_task(collect(engine, Request("x", PROMPT, BASE, SamplingParams(temperature=0))))
    await asyncio.sleep(0)
    os.kill(_pid(engine), number)
    os.kill(_pid(engine), signal.SIGCONT)
    end = (await asyncio.wait_for(answer, 30))[-1]
    assert isinstance(end, Failed)
    assert isinstance(end.error, EngineDiedError)
    assert ("exit code" if number == 40 else signal.Signals(number).name) in end.error.message
    with pytest.raises(EngineDiedError):
        await engine.tokenize("x")
    assert [type(event) for event in await heard()] == [EngineDied]
    await engine.close()
    assert [type(event) for event in await before] == [EngineDied]
