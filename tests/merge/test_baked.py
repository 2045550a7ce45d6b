"""The cache of bases with adapters baked in."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

from edgelora.errors import EdgeloraError, GGUFError, MergeError
from edgelora.gguf.baked_in import baked_into
from edgelora.gguf.reader import read_header
from edgelora.merge.baked import BakedBases, bake_apart
from edgelora.merge.options import MergeMember
from edgelora.types import AttestedAdapter, ignore_progress

if TYPE_CHECKING:
    from edgelora.merge.trade import Trade
    from edgelora.types import Progress


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; the folder that baked bases go to."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edgelora" / "baked"


def files(folder: Path) -> list[Path]:
    """Everything in a folder, half-written files too."""
    return list(folder.iterdir()) if folder.exists() else []


class StoppedError(Exception):
    pass


def test_the_same_selection_is_baked_once(
    demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path, cache: Path
) -> None:
    first, second = adapters
    made = BakedBases().bake(demo_base, [MergeMember(first, 0.7, "one"), MergeMember(second, 1.0, "two")])
    assert files(cache) == [made.path]
    assert {(adapter.name, adapter.scale) for adapter in made.adapters} == {("one", 0.7), ("two", 1.0)}
    assert made.base == demo_base.name
    assert made.kept == pytest.approx(1.0, abs=0.02)
    copied = tmp_path / "copied.gguf"
    copied.write_bytes(first.read_bytes())
    seen: list[Progress] = []
    again = BakedBases().bake(demo_base, [MergeMember(second, 1.0), MergeMember(copied, 0.7)], report=seen.append)
    assert (again, seen) == (made, [])


def test_another_base_adapter_scale_or_precision_is_another_file(
    demo_base: Path, f32_base: Path, adapters: tuple[Path, Path]
) -> None:
    first, second = adapters
    cache = BakedBases()
    made = cache.bake(demo_base, [MergeMember(first)])
    assert cache.find(demo_base, [MergeMember(first)]) == made
    assert cache.find(demo_base, [MergeMember(first, 0.99)]) is None
    assert cache.find(demo_base, [MergeMember(second)]) is None
    assert cache.find(demo_base, [MergeMember(first), MergeMember(second)]) is None
    assert cache.find(demo_base, [MergeMember(first)], "f16") is None
    assert cache.find(f32_base, [MergeMember(first)]) is None


@pytest.mark.slow
def test_what_was_not_verified_is_baked_anew_where_that_is_wanted(
    demo_base: Path, adapters: tuple[Path, Path], cache: Path
) -> None:
    members = [MergeMember(adapters[0])]
    made = BakedBases().bake(demo_base, members)
    assert made.verdict is None
    assert BakedBases().find(demo_base, members, verified=True) is None
    verified = BakedBases().bake(demo_base, members, verify=True)
    assert verified.verdict
    assert BakedBases().find(demo_base, members, verified=True) == BakedBases().find(demo_base, members) == verified
    assert files(cache) == [made.path]


def test_an_adapter_that_changed_is_not_what_was_baked(demo_base: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    write_adapter(path, demo_base, seed=1)
    BakedBases().bake(demo_base, [MergeMember(path)])
    write_adapter(path, demo_base, seed=2)
    assert BakedBases().find(demo_base, [MergeMember(path)]) is None


def test_it_says_itself_what_is_in_it(demo_base: Path, adapters: tuple[Path, Path]) -> None:
    made = bake_apart(demo_base, [MergeMember(adapters[0], 0.3, "one")], ignore_progress)
    (adapter,) = baked_into(read_header(made.path))
    assert adapter == AttestedAdapter("one", adapter.sha256, 0.3)
    assert baked_into(read_header(demo_base)) == ()


def test_what_it_costs_is_said_before_it_is_written(demo_base: Path, adapters: tuple[Path, Path], cache: Path) -> None:
    said: list[tuple[Trade, list[Path]]] = []

    def announce(trade: Trade) -> None:
        said.append((trade, files(cache)))

    for _ in range(2):  # the second time it is there
        made = bake_apart(demo_base, [MergeMember(adapters[0])], ignore_progress, announce)
    [(trade, there)] = said
    assert not [path for path in there if not path.name.startswith(".")]
    assert trade.merged_bytes == pytest.approx(made.n_bytes, rel=0.01)
    assert trade.line.startswith(f"Baked in: {trade.merged_bytes / 1e6:.1f} MB instead of ")


def test_who_stops_at_the_price_gets_nothing(demo_base: Path, adapters: tuple[Path, Path], cache: Path) -> None:
    def refuse(trade: Trade) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        bake_apart(demo_base, [MergeMember(adapters[0])], ignore_progress, refuse)
    assert files(cache) == []


@pytest.mark.parametrize("stage", ["choosing types", "writing"])
def test_a_bake_that_is_stopped_leaves_nothing(
    demo_base: Path, adapters: tuple[Path, Path], cache: Path, stage: str
) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == stage:
            raise StoppedError

    with pytest.raises(StoppedError):
        bake_apart(demo_base, [MergeMember(adapters[0])], stop)
    assert files(cache) == []
    assert multiprocessing.active_children() == []


def test_an_error_comes_from_the_process_as_it_is(demo_base: Path, tmp_path: Path, cache: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(EdgeloraError, match=r"broken\.gguf"):
        bake_apart(demo_base, [MergeMember(broken)], lambda progress: None)
    with pytest.raises(GGUFError, match=r"nowhere\.gguf"):
        bake_apart(tmp_path / "nowhere.gguf", [MergeMember(broken)], lambda progress: None)
    assert files(cache) == []


def test_the_list_is_the_latest_first_and_leaves_out_what_is_damaged(
    demo_base: Path, adapters: tuple[Path, Path], cache: Path
) -> None:
    assert BakedBases().entries() == ()
    older, newer = (BakedBases().bake(demo_base, [MergeMember(path)]) for path in adapters)
    os.utime(older.path, (1_000_000_000, 1_000_000_000))
    (cache / "other.gguf").write_bytes(demo_base.read_bytes())
    (cache / "cut.gguf").write_bytes(demo_base.read_bytes()[:1000])
    assert [entry.path for entry in BakedBases().entries()] == [newer.path, older.path]


def test_clearing_gives_the_bytes_and_takes_leftovers_too(
    demo_base: Path, adapters: tuple[Path, Path], cache: Path
) -> None:
    assert BakedBases().clear() == 0
    made = BakedBases().bake(demo_base, [MergeMember(adapters[0])])
    (cache / ".x.gguf.123.part").write_bytes(b"left by a killed process")
    with made.path.open("rb") as open_elsewhere:
        assert BakedBases().clear() == made.n_bytes
        assert open_elsewhere.read(4) == b"GGUF"
    assert files(cache) == []


def test_a_cache_that_cannot_be_written_is_one_error(demo_base: Path, adapters: tuple[Path, Path], cache: Path) -> None:
    cache.parent.parent.write_text("a file where the folder should be")
    with pytest.raises(MergeError, match="cannot be written"):
        BakedBases().bake(demo_base, [MergeMember(adapters[0])])
