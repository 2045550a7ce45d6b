"""The chat on a real engine that is killed while it answers."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from edgelora.engine.client import open_engine
from edgelora.engine.supervised import SupervisedEngine
from edgelora.types import EngineConfig
from tests.tui.driving import chat

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.engine.client import EngineClient
    from edgelora.types import ReportProgress


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
async def test_a_conversation_outlives_its_engine(times: int, demo_base: Path) -> None:
    """Each time half an answer is lost, and the message is there to be sent again."""
    engines: list[SupervisedEngine] = []

    async def opened(base: Path, report: ReportProgress) -> EngineClient:
        engine = await open_engine(EngineConfig(demo_base, threads=1), report=report)
        assert isinstance(engine, SupervisedEngine)
        engines.append(engine)
        return engine

    async with chat(opener=opened) as driver:
        await driver.ask("First question")
        session = driver.app._conductor._session
        assert session
        for time in range(1, times + 1):
            before = session.conversation.turns
            driver.composer.insert(f"Question {time}")
            driver.press("enter")
            while driver.app.state.phase != "answering":  # not a moment longer: the demo answers at once
                await asyncio.sleep(0)
            _kill(engines[0])
            await driver.until(lambda time=time: driver.remarks.count("there again") == time)  # type: ignore[misc]
            await driver.until(lambda: driver.app.state.phase == "ready")
            assert session.conversation.turns[: len(before)] == before
            if driver.composer.text:  # unless all of the answer was on its way already
                await driver.keys("enter")
            await driver.until(lambda time=time: len(session.conversation.turns) == time + 1)  # type: ignore[misc]
            await driver.until(lambda: driver.app.state.phase == "ready")
            assert session.conversation.turns[: len(before)] == before
    assert len(engines) == 1


def _kill(engine: SupervisedEngine) -> None:
    assert engine._engine
    os.kill(engine._engine._link._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
