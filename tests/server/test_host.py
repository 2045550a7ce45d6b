"""What all requests share, with an engine that does as a test wants."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from support.fake_engine import base_info

from edgelora.adapters.library import AdapterLibrary
from edgelora.errors import AdapterError, EdgeloraError, GGUFError, MemoryLimitError, QuarantinedError
from edgelora.server.host import Host
from edgelora.server.tenants import Tenants
from edgelora.types import AdapterFile
from tests.server.serving import GREEDY, local

FILE = AdapterFile("a", Path("a.gguf"), "a" * 64)


class Engine:
    """Loads as it is told to: an error for each attempt that fails."""

    base = base_info()

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.loads: list[Path] = []

    async def load(self, file: AdapterFile) -> None:
        self.loads.append(file.path)
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)


def host(engine: Engine, demo_base: Path, tmp_path: Path) -> Host:
    library = AdapterLibrary(demo_base, folder=tmp_path)
    return Host(cast(Any, engine), library, lambda card: GREEDY, local(), Tenants(), cast(Any, None))


async def test_ten_requests_load_an_adapter_once(demo_base: Path, tmp_path: Path) -> None:
    engine = Engine()
    shared = host(engine, demo_base, tmp_path)
    await asyncio.gather(*(shared.ensure_loaded([FILE]) for _ in range(10)))
    await shared.ensure_loaded([FILE])
    assert engine.loads == [FILE.path]


async def test_an_adapter_that_has_moved_is_told_to_the_engine(demo_base: Path, tmp_path: Path) -> None:
    engine = Engine()
    shared = host(engine, demo_base, tmp_path)
    moved = AdapterFile("a", Path("b.gguf"), FILE.sha256)
    await shared.ensure_loaded([FILE])
    await shared.ensure_loaded([moved])
    assert engine.loads == [FILE.path, moved.path]


async def test_a_load_that_failed_is_tried_again(demo_base: Path, tmp_path: Path) -> None:
    engine = Engine(AdapterError("broken"))
    shared = host(engine, demo_base, tmp_path)
    with pytest.raises(AdapterError):
        await shared.ensure_loaded([FILE])
    await shared.ensure_loaded([FILE])
    assert len(engine.loads) == 2


async def test_an_adapter_without_room_is_an_error(demo_base: Path, tmp_path: Path) -> None:
    with pytest.raises(MemoryLimitError):
        await host(Engine(MemoryLimitError("full")), demo_base, tmp_path).ensure_loaded([FILE])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QuarantinedError("base.gguf crashed the engine twice"), 503),
        (QuarantinedError("the adapter legal crashed the engine twice", "", ["a" * 64]), 400),
        (GGUFError("/srv/base.gguf: it is not a GGUF file"), 400),
    ],
)
def test_an_unusable_base_is_the_servers_fault(
    demo_base: Path, tmp_path: Path, error: EdgeloraError, status: int
) -> None:
    engine = Engine()
    engine.base = replace(engine.base, path=demo_base)
    assert host(engine, demo_base, tmp_path).failure(error, param="model").status == status


def test_a_damaged_base_is_the_servers_fault(demo_base: Path, tmp_path: Path) -> None:
    engine = Engine()
    engine.base = replace(engine.base, path=tmp_path / "base.gguf")
    engine.base.path.write_text("no GGUF")
    failure = host(engine, demo_base, tmp_path).failure(GGUFError(f"{engine.base.path}: it is not a GGUF file"))
    assert (failure.status, failure.body["error"]["code"]) == (503, "base_unusable")
    assert str(tmp_path) not in failure.message
