"""Who is let into the engine beside whom."""

from __future__ import annotations

import asyncio

import pytest

from edgelora.engine import gate
from edgelora.engine.gate import Gate


class Visitor:
    """Enters the gate and stays until it is told to leave."""

    def __init__(self, gate: Gate, *, alone: bool = False) -> None:
        self.is_inside, self._leave = False, asyncio.Event()
        self._task = asyncio.create_task(self._visit(gate, alone))

    async def _visit(self, gate: Gate, alone: bool) -> None:
        async with gate.passed(lambda: alone):
            self.is_inside = True
            await self._leave.wait()
        self.is_inside = False

    async def leave(self) -> None:
        self._leave.set()
        await self._task
        await settled()

    async def give_up(self) -> None:
        self._task.cancel()
        await settled()


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_alone_waits_for_all_and_all_behind_it_wait() -> None:
    gate = Gate()
    first, second = Visitor(gate), Visitor(gate)
    await settled()
    assert first.is_inside
    assert second.is_inside
    alone, behind = Visitor(gate, alone=True), Visitor(gate)
    await settled()
    await first.leave()
    assert not alone.is_inside
    await second.leave()
    assert alone.is_inside
    assert not behind.is_inside
    await alone.leave()
    assert behind.is_inside
    await behind.leave()


async def test_whoever_gives_up_holds_nobody() -> None:
    gate = Gate()
    first = Visitor(gate)
    await settled()
    waiting, behind = Visitor(gate, alone=True), Visitor(gate)
    await settled()
    await waiting.give_up()
    assert behind.is_inside
    await first.leave()
    await behind.leave()
    alone = Visitor(gate, alone=True)
    await settled()
    await alone.give_up()
    last = Visitor(gate, alone=True)
    await settled()
    assert last.is_inside
    await last.leave()


async def test_nobody_waits_for_ever_for_one_who_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PATIENCE", 0.0)
    door = Gate()
    sleeper = Visitor(door)
    await settled()
    alone, behind = Visitor(door, alone=True), Visitor(door)
    while not behind.is_inside:
        await asyncio.sleep(0.001)
    assert alone.is_inside
    for visitor in (sleeper, alone, behind):
        await visitor.leave()
    last = Visitor(door, alone=True)
    await settled()
    assert last.is_inside
    await last.leave()
