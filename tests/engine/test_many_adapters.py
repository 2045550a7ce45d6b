"""Many adapters through little memory: every answer is what it would be alone, and says so."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, pool_bytes, run, selection, texts

from edgelora.engine import residency
from edgelora.engine.client import open_engine
from edgelora.engine.core import EngineCore
from edgelora.engine.factors import PreparedAdapter
from edgelora.errors import AdapterError, GGUFError, UnknownAdapterError
from edgelora.types import AdapterFile, AdapterLoaded, EngineConfig, Failed, Finished, Request, Selection

COUNT = 40
PROMPT = tuple(range(300, 320))


@pytest.fixture(scope="module")
def library(f32_base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[AdapterFile]:
    folder = tmp_path_factory.mktemp("library")
    return [write_adapter(folder / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(COUNT)]


def tight(base: Path, **changes: object) -> EngineConfig:
    """Room for five adapters, and for five more that are ready."""
    room = pool_bytes(base, 5 * 16)
    return replace(
        exact_config(base, adapter_bytes=room, prepared_bytes=room, max_sequences=4, parked_bytes=0), **changes
    )


def popular(rng: np.random.Generator) -> int:
    """An adapter's number, by Zipf's law."""
    share = 1 / np.arange(1, COUNT + 1)
    return int(rng.choice(COUNT, p=share / share.sum()))


def under(file: AdapterFile) -> Selection:
    return selection((file, 1.0))


def load_all(core: EngineCore, files: list[AdapterFile]) -> None:
    for file in files:
        core.load(file)


def test_forty_adapters_take_turns_in_room_for_five(f32_base: Path, library: list[AdapterFile]) -> None:
    rng = np.random.default_rng(5)
    wanted = [library[popular(rng)] for _ in range(60)]
    requests = [greedy(f"r{i}", PROMPT, under(file), 6) for i, file in enumerate(wanted)]
    with opened(exact_config(f32_base), library[:1]) as core:
        alone = {}
        for file in dict.fromkeys(wanted):
            core.load(file)
            alone[file.sha256] = run(core, greedy("x", PROMPT, under(file), 6))["x"]
    assert len(set(alone.values())) > len(alone) // 2
    with opened(tight(f32_base)) as core:
        load_all(core, library)
        for request in requests:
            core.submit(request)
        events = drain(core)
        stats = core.stats()
    answers = texts(events)
    assert answers == {f"r{i}": alone[file.sha256] for i, file in enumerate(wanted)}
    made_by = {event.request: [a.sha256 for a in event.adapters] for event in events if isinstance(event, Finished)}
    assert made_by == {f"r{i}": [file.sha256] for i, file in enumerate(wanted)}
    assert stats.pool_bytes <= pool_bytes(f32_base, 5 * 16) * 9 // 8  # with the copy of the rows in use
    assert 0 < stats.prepared_bytes <= pool_bytes(f32_base, 5 * 16)
    assert stats.resident == stats.prepared == 5
    assert COUNT < stats.cold_loads < COUNT + len(wanted)
    assert stats.load_p95.total_ms >= stats.load_p50.read_ms > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [(), ("--uncached",), ("--prepared", "0")])
def test_the_script_that_measures_it(demo_base: Path, more: tuple[str, ...]) -> None:
    root = demo_base.parents[1]
    options = ("--adapter", root / "models/adapters/legal.gguf", "--count", "60", "--adapter-memory", "8MB")
    command = [sys.executable, root / "scripts/many_adapters", "--base", demo_base, *options, "--minutes", "0.2", *more]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["requests"] > 20
    assert (found["errors"], found["wrong_adapter"]) == (0, 0), found["error_messages"]
    assert found["stats"]["evictions"] > 0


def test_exclusive_mode_keeps_to_the_budget(f32_base: Path, library: list[AdapterFile]) -> None:
    wanted = [library[i] for i in (0, 1, 2, 0, 3, 1, 2, 0)]
    with opened(tight(f32_base), wanted[:1]) as core:
        load_all(core, wanted)
        expected = run(core, *(greedy(f"r{i}", PROMPT, under(file), 4) for i, file in enumerate(wanted)))
    room = 2 * library[0].path.stat().st_size
    with opened(tight(f32_base, exclusive=True, adapter_bytes=room)) as core:
        load_all(core, wanted)
        assert run(core, *(greedy(f"r{i}", PROMPT, under(file), 4) for i, file in enumerate(wanted))) == expected
        stats = core.stats()
    assert (stats.resident, stats.pool_bytes, stats.prepared) == (2, room, 0)


def test_in_exclusive_mode_llama_cpp_reads_what_was_checked(
    f32_base: Path, library: list[AdapterFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(library[0].path.read_bytes())
    prepare = residency.prepare

    def change_afterwards(*given: Any) -> PreparedAdapter:
        prepared = prepare(*given)
        path.write_bytes(library[1].path.read_bytes())
        return prepared

    monkeypatch.setattr(residency, "prepare", change_afterwards)
    with opened(tight(f32_base, exclusive=True)) as core:
        with pytest.raises(AdapterError, match="has changed"):
            core.load(replace(library[0], path=path))
        assert core.stats().resident == 0


def test_files_that_change_meanwhile_concern_their_requests_only(
    f32_base: Path, library: list[AdapterFile], tmp_path: Path
) -> None:
    files = []
    for file in library[:8]:
        path = tmp_path / file.path.name
        path.write_bytes(file.path.read_bytes())
        files.append(replace(file, path=path))
    replaced, truncated, removed, used, *others = files
    with opened(tight(f32_base, prepared_bytes=0)) as core:
        load_all(core, files)  # the first three are evicted again
        core.submit(greedy("used", PROMPT, under(used), 30))
        core.step()
        core.step()
        replaced.path.write_bytes(truncated.path.read_bytes())
        truncated.path.write_bytes(truncated.path.read_bytes()[:-100])
        removed.path.unlink()
        used.path.unlink()
        for file in (replaced, others[0], truncated, others[1], removed, others[2]):
            core.submit(greedy(file.name, PROMPT, under(file), 3))
        ends = {event.request: event for event in drain(core) if isinstance(event, Failed | Finished)}
        assert {name for name, end in ends.items() if isinstance(end, Failed)} == {"a0", "a1", "a2"}
        errors = [end.error for end in ends.values() if isinstance(end, Failed)]
        assert {type(error) for error in errors} == {AdapterError, GGUFError}
        assert all(name in end.error.message for name, end in ends.items() if isinstance(end, Failed))
        assert core.residency.n_used == 0


def test_an_answer_goes_on_while_a_file_is_read(
    f32_base: Path, library: list[AdapterFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader holds a file back; meanwhile steps, other requests and cancels go on."""
    may_read = threading.Event()
    read = residency.prepare
    with opened(tight(f32_base), library[:1]) as core:
        core.load(library[1])
        core.evict(library[1].sha256)
        monkeypatch.setattr(residency, "prepare", lambda *given: may_read.wait(60) and read(*given))
        core.submit(greedy("waits", PROMPT, under(library[1]), 3))
        core.submit(greedy("waits too", PROMPT, under(library[1]), 3))
        assert core.try_load(library[2]) is None
        ends = []
        core.submit(greedy("runs", PROMPT, under(library[0]), 10))
        for _ in range(60):
            ends += [event.request for event in core.step() if isinstance(event, Finished)]
        assert ends == ["runs"]
        core.cancel("waits too")
        assert core.busy
        may_read.set()
        events = drain(core)
        assert core.load(library[2]).resident
    assert [event.status.name for event in events if isinstance(event, AdapterLoaded)] == ["a1"]
    assert {event.request: event.reason for event in events if isinstance(event, Finished)} == {
        "waits": "length",
        "waits too": "cancelled",
    }


async def test_pins_and_statistics_through_the_client(f32_base: Path, library: list[AdapterFile]) -> None:
    engine = await open_engine(tight(f32_base), in_process=True)
    try:
        with pytest.raises(UnknownAdapterError):
            await engine.pin(library[0].sha256, True)
        await asyncio.gather(*(engine.load(file) for file in library[:2]))
        await engine.pin(library[0].sha256, True)
        for file in library[2:10]:
            await engine.load(file)
        stats = await engine.stats()
        assert (stats.resident, stats.prepared, stats.evictions, stats.cold_loads) == (5, 5, 5, 10)
        assert min(stats.weights_bytes, stats.kv_bytes, stats.pool_bytes) > 0
        status = await engine.load(library[0])
        assert status.resident
        assert (await engine.stats()).cold_loads == 10
        status = await engine.load(library[1])
        assert status.times.read_ms == 0 < status.times.copy_ms
        request = Request("x", PROMPT, under(library[9]))
        end = [event async for event in engine.generate(request)][-1]
        assert isinstance(end, Finished)
    finally:
        await engine.close()
