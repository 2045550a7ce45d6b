"""Answers of the chat's engine are counted, what it reads ahead is not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.adapters.store.usage import UsageCounts
from edgelora.cli.counting import counted
from edgelora.engine.client import open_engine
from edgelora.gguf.hashes import file_sha256
from edgelora.types import AdapterFile, EngineConfig, Finished, Member, Request, SamplingParams, Selection

if TYPE_CHECKING:
    import pytest

    from edgelora.engine.client import EngineClient


async def test_answers_count_and_reading_ahead_does_not(
    tmp_path: Path, demo_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path))
    engine = counted(await open_engine(EngineConfig(demo_base, ctx=64, threads=1), in_process=True))
    path = demo_base.parent / "adapters" / "legal.gguf"
    file = AdapterFile("legal@1", path, file_sha256(path))
    await engine.load(file)
    selection = Selection.of([Member(file.sha256)])
    assert await finished(engine, Request("one", (1, 2, 3), selection, SamplingParams(max_tokens=4))) > 0
    await finished(engine, Request("two", (1, 2, 3), selection, SamplingParams(max_tokens=4), background=True))
    await finished(engine, Request("three", (1, 2, 3), sampling=SamplingParams(max_tokens=4)))
    await engine.close()
    (usage,) = UsageCounts(tmp_path).read().values()
    assert (usage.name, usage.runs, usage.sha256) == ("legal@1", 1, file.sha256)


async def finished(engine: EngineClient, request: Request) -> int:
    events = [event async for event in engine.generate(request)]
    assert isinstance(events[-1], Finished)
    return events[-1].completion_tokens
