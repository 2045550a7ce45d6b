"""Adapters of a working engine: kept, evicted, brought back; nothing of them leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import PROMPT, drain, exact_config, greedy, opened, pool_bytes, run, selection, the_end

from edgelora.engine import residency
from edgelora.engine.batching import DETACH_AFTER
from edgelora.engine.core import EngineCore
from edgelora.errors import AdapterTooLargeError, MemoryLimitError
from edgelora.types import (
    BASE,
    AdapterEvicted,
    AdapterFile,
    Failed,
    Finished,
    Member,
    Request,
    SamplingParams,
    Selection,
)


def test_an_adapter_in_use_is_not_evicted(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        core.submit(greedy("x", PROMPT, selection((two[0], 1.0)), 20))
        core.step()
        assert not core.evict(two[0].sha256)
        assert core.evict(two[1].sha256)
        drain(core)
        assert core.evict(two[0].sha256)
        assert AdapterEvicted(two[0].sha256) in core.step()


def test_an_evicted_adapter_comes_back_when_it_is_selected(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        before = run(core, greedy("x", PROMPT, selection((two[0], 1.0))))
        core.evict(two[0].sha256)
        core.evict(two[1].sha256)
        assert not core._pool.is_open
        assert run(core, greedy("x", PROMPT, selection((two[0], 1.0)))) == before


def test_the_pool_follows_need(f32_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(6)]
    with opened(exact_config(f32_base)) as core:
        sizes = []
        for adapter in adapters:
            core.load(adapter)
            sizes.append(core._pool.rows)
        assert sizes == [64, 64, 64, 64, 128, 128]
        for adapter in adapters[1:]:
            core.evict(adapter.sha256)
        assert core._pool.rows == 64
        alone = run(core, greedy("x", PROMPT, selection((adapters[0], 1.0))))
    with opened(exact_config(f32_base), adapters[:1]) as core:
        assert run(core, greedy("x", PROMPT, selection((adapters[0], 1.0)))) == alone


def test_a_full_pool_evicts_what_nobody_uses(f32_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(4)]
    with opened(exact_config(f32_base, adapter_bytes=pool_bytes(f32_base, 32))) as core:
        for i, adapter in enumerate(adapters * 2):
            end = the_end(core, greedy(f"r{i}", PROMPT, _load_and_select(core, adapter), 4))
            assert isinstance(end, Finished)
            assert end.adapters[0].sha256 == adapter.sha256
        assert core._pool.rows == 32
        for i, adapter in enumerate(adapters[:2]):
            core.submit(greedy(f"busy{i}", PROMPT, selection((adapter, 1.0)), 20))
        core.step()
        with pytest.raises(MemoryLimitError, match="no memory left"):
            core.load(adapters[2])
        core.submit(greedy("patient", PROMPT, selection((adapters[2], 1.0)), 4))
        ends = [event for event in drain(core) if isinstance(event, Finished | Failed)]
        assert [end.request for end in ends][-1] == "patient"
        assert all(isinstance(end, Finished) for end in ends)
        three = selection(*((adapter, 1.0) for adapter in adapters[:3]))
        end = the_end(core, greedy("too many", PROMPT, three, 4))
        assert isinstance(end, Failed)
        assert isinstance(end.error, MemoryLimitError)


def _load_and_select(core: EngineCore, adapter: AdapterFile) -> Selection:
    core.load(adapter)
    return selection((adapter, 1.0))


def test_counts_return_to_zero_whatever_happens(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        both = selection((two[0], 1.0), (two[1], 0.5))
        for i in range(4):
            core.submit(greedy(f"r{i}", PROMPT, both, 6))
        core.step()
        core.cancel("r0")
        core.submit(Request("bad", tuple(PROMPT), Selection.of([Member(two[0].sha256), Member("e" * 64)])))
        two[1].path.unlink()
        core.evict(two[1].sha256)
        drain(core)
        assert not any(core.residency._users.values())


def test_acquire_releases_what_it_took_when_a_member_fails(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        core.evict(two[1].sha256)
        two[1].path.unlink()
        end = the_end(core, greedy("x", PROMPT, selection((two[0], 1.0), (two[1], 1.0))))
        assert isinstance(end, Failed)
        assert "a1.gguf" in end.error.message
        assert not any(core.residency._users.values())
        assert core.evict(two[0].sha256)


def test_the_pool_is_detached_while_only_the_base_is_used(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        run(core, greedy("x", PROMPT, selection((two[0], 1.0)), 2))
        assert core._context._adapters
        for i in range(DETACH_AFTER + 1):
            run(core, greedy(f"y{i}", PROMPT, BASE, 1))
        assert not core._context._adapters
        text = run(core, greedy("z", PROMPT, selection((two[0], 1.0)), 8))["z"]
        assert core._context._adapters
    with opened(exact_config(f32_base), two) as core:
        assert run(core, greedy("z", PROMPT, selection((two[0], 1.0)), 8))["z"] == text


@pytest.mark.parametrize(("prepared_bytes", "most_reads"), [(None, 0), (0, 2)])
def test_waiting_for_room_does_not_read_the_file_again_and_again(
    f32_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared_bytes: int | None, most_reads: int
) -> None:
    adapters = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(2)]
    budgets = {"adapter_bytes": pool_bytes(f32_base, 16), "prepared_bytes": prepared_bytes}
    with opened(exact_config(f32_base, **budgets), adapters) as core:
        reads = []
        real = residency.prepare
        monkeypatch.setattr(residency, "prepare", lambda *args: reads.append(args) or real(*args))
        core.submit(greedy("first", PROMPT, selection((adapters[1], 1.0)), 20))
        core.step()
        core.submit(greedy("second", PROMPT, selection((adapters[0], 1.0)), 2))
        ends = [event.request for event in drain(core) if isinstance(event, Finished)]
    assert ends == ["first", "second"]
    assert len(reads) <= most_reads


def test_a_moved_adapter_is_known_by_its_new_name(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        moved = replace(two[0], name="moved", path=two[0].path.rename(two[0].path.with_name("moved.gguf")))
        assert core.load(moved).name == "moved"
        core.evict(moved.sha256)
        end = the_end(core, greedy("x", PROMPT, selection((moved, 1.0)), 2))
    assert isinstance(end, Finished)
    assert end.adapters[0].name == "moved"


@pytest.mark.parametrize("exclusive", [False, True])
def test_an_adapter_is_loaded_however_full_the_cache_is(
    f32_base: Path, two: list[AdapterFile], exclusive: bool
) -> None:
    config = exact_config(f32_base, ctx=256, max_sequences=16, parked_bytes=0, exclusive=exclusive)
    with opened(config, two[:1]) as core:
        left = core._kv._cells
        while left:
            tokens = (5 + left % 999,) * min(left, 256)
            run(core, Request("fill", tokens, BASE, SamplingParams(max_tokens=0)))
            left -= len(tokens)
        assert core.load(two[1]).effect > 0
        assert run(core, greedy("x", PROMPT, selection((two[1], 1.0))))["x"]


def test_an_adapter_that_never_fits_stops_nobody(f32_base: Path, tmp_path: Path) -> None:
    large = write_adapter(tmp_path / "large.gguf", f32_base, rank=64, dtype="float32")
    ahead = Request("ahead", tuple(range(300, 500)), BASE, SamplingParams(max_tokens=4), background=True)
    with opened(exact_config(f32_base, adapter_bytes=pool_bytes(f32_base, 16))) as core:
        core.submit(ahead)
        events = core.step()
        with pytest.raises(AdapterTooLargeError):
            core.load(large)
        events += drain(core)
    assert [event.reason for event in events if isinstance(event, Finished)] == ["length"]
