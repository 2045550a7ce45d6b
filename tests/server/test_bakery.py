"""What bakes for the server, and how its engines are opened."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fake_engine import FakeEngine

from edgelora.engine.memory import plan_memory
from edgelora.errors import EngineDiedError, MemoryLimitError
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.reader import read_header
from edgelora.merge.baked import BakedBase
from edgelora.merge.options import MergeMember
from edgelora.server import baking
from edgelora.server.baking import Bakery, StoppedError, UnverifiedError, spoken_for
from edgelora.types import EngineConfig, EngineStats, KVStats, LoadTimes, Progress

if TYPE_CHECKING:
    from edgelora.merge.verification import Verdict

MEMBERS = [MergeMember(Path("a.gguf"), 0.5, "a")]
MIB = 2**20


def made(verdict: Verdict | None) -> BakedBase:
    path = Path("baked.gguf")
    return BakedBase(path, "base.gguf", (), "auto", 0.99, 10, 11, "merged", datetime.now().astimezone(), verdict)


@pytest.mark.parametrize(
    ("verdict", "is_good"), [("passed", True), ("unclear", True), ("failed", False), (None, False)]
)
async def test_only_what_is_verified_is_served(
    monkeypatch: pytest.MonkeyPatch, verdict: Verdict | None, is_good: bool
) -> None:
    asked: list[Any] = []

    def bake(*given: Any, **more: Any) -> BakedBase:
        asked.append((given[:2], more))
        return made(verdict)

    monkeypatch.setattr(baking, "bake_apart", bake)
    bakery = Bakery(EngineConfig(Path("base.gguf")), "q8_0")
    if is_good:
        assert await bakery.bake("a:0.5", MEMBERS) == Path("baked.gguf")
    else:
        with pytest.raises(UnverifiedError, match=r"baked\.gguf"):
            await bakery.bake("a:0.5", MEMBERS)
    assert asked == [((Path("base.gguf"), MEMBERS), {"precision": "q8_0", "verify": True})]


async def test_a_bakery_that_is_stopped_ends_what_it_bakes(monkeypatch: pytest.MonkeyPatch) -> None:
    def bake(base: Path, members: object, report: Any, *rest: object, **more: object) -> BakedBase:
        while True:
            report(Progress("writing", 1, 2))

    monkeypatch.setattr(baking, "bake_apart", bake)
    bakery = Bakery(EngineConfig(Path("base.gguf")))
    baked = asyncio.create_task(bakery.bake("a", MEMBERS))
    await asyncio.sleep(0)
    bakery.stop()
    with pytest.raises(StoppedError):
        await baked


class Budgeted(FakeEngine):
    """Holds 3 MiB of 10 MiB that its budgets allow, and 100 MiB of weights."""

    async def stats(self) -> EngineStats:
        none, kv = LoadTimes(), KVStats(parked_bytes=MIB)
        return EngineStats(100 * MIB, 50 * MIB, MIB, MIB, 0, 0, 0, 0, 0, 0, none, none, 0.0, kv, 0, 10 * MIB)


class Ended(FakeEngine):
    async def stats(self) -> EngineStats:
        raise EngineDiedError("the engine was closed")


async def test_an_engine_that_has_ended_wants_nothing() -> None:
    assert await spoken_for([Ended(), Budgeted()]) == await spoken_for([Budgeted()])


async def test_what_other_engines_may_yet_take_is_left_to_them(
    demo_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[EngineConfig] = []

    async def open_engine(config: EngineConfig, **more: object) -> FakeEngine:
        opened.append(config)
        return FakeEngine()

    monkeypatch.setattr(baking, "open_engine", open_engine)
    main = EngineConfig(demo_base, ctx=256, adapter_bytes=50 * MIB, parked_folder=Path("parked"))
    await Bakery(main).open(demo_base, [Budgeted(), Budgeted()])
    (config,) = opened
    assert config.reserved_bytes == await spoken_for([Budgeted(), Budgeted()]) == 2 * 107 * MIB
    assert (config.ctx, config.parked_folder) == (256, None)
    facts = BaseFacts.of(read_header(demo_base))
    needed = 100 * MIB
    plan_memory(facts, config, needed + config.reserved_bytes)
    plan_memory(facts, replace(config, reserved_bytes=0), needed)
    with pytest.raises(MemoryLimitError, match="0 MiB are free"):
        plan_memory(facts, config, config.reserved_bytes - MIB)
