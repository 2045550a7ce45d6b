"""Which adapters are where: any order of requests, releases, evictions, pins and changes on disk, without llama.cpp."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from support.pools import ROW_BYTES, FakeNatives, NumpyPool, fake_probe, prepared, same

from edgelora.engine import residency as module
from edgelora.engine.factors import PreparedAdapter
from edgelora.engine.loading import AT_ONCE
from edgelora.engine.residency import Residency
from edgelora.errors import AdapterError, EdgeloraError, EngineError, GGUFError, MemoryLimitError
from edgelora.types import AdapterFile, AdapterStatus, Member, Selection

NAMES = tuple("abcdefgh")
RANKS = (16, 16, 8, 4, 16, 20, 16, 12)
TARGETS = (("q", "k"), ("q",), ("k",), ("q", "k"), ("q", "k"), ("q", "k"), ("q",), ("q", "k"))
WHOLE = {name: prepared(name, rank, targets) for name, rank, targets in zip(NAMES, RANKS, TARGETS, strict=True)}


class Disk:
    """The adapter files: there, replaced, or gone."""

    def __init__(self) -> None:
        self.files: dict[str, PreparedAdapter | EdgeloraError] = dict(WHOLE)
        self.reads: list[str] = []
        self.paths: list[Path] = []

    def prepare(self, file: AdapterFile, *_: object) -> PreparedAdapter:
        self.reads.append(file.sha256)
        self.paths.append(file.path)
        found = self.files[file.sha256]
        if isinstance(found, EdgeloraError):
            raise found
        return found


def build(disk: Disk, *, rows: int, prepared_rows: int = 64, exclusive: str = "") -> tuple[Residency, NumpyPool]:
    budget = rows * ROW_BYTES
    pool, base = NumpyPool(budget), SimpleNamespace()
    made = Residency(
        base,  # type: ignore[arg-type]
        pool, FakeNatives(), fake_probe(), "f32", exclusive, budget=budget, prepared_budget=prepared_rows * ROW_BYTES
    )  # fmt: skip
    return made, pool


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(module, "prepare", disk.prepare)
    return disk


def load_file(residency: Residency, file: AdapterFile) -> AdapterStatus:
    while (status := residency.load(file)) is None:
        residency.wait(10)
        residency.tick()  # or what was read for others, who gave up, keeps its place for ever
    return status


def load(residency: Residency, *names: str) -> None:
    for name in names:
        load_file(residency, WHOLE[name].file)


def acquire(residency: Residency, *names: str) -> bool:
    """Once its files are read."""
    selection = under(*names)
    for _ in range(2 * len(names) + 1):
        if residency.acquire(selection):
            return True
        residency.wait(10)
    return False


def under(*names: str) -> Selection:
    return Selection.of(Member(name) for name in names)


def test_a_full_pool_takes_turns_without_being_rebuilt(disk: Disk) -> None:
    residency, pool = build(disk, rows=32)
    for name in "abea" * 10:
        load(residency, name)
    rebuilt = pool.n_rebuilt
    for name in "abe" * 20:
        assert acquire(residency, name)
        assert same(pool.copy_of(name), WHOLE[name])
        residency.release(under(name))
        residency.tick()
    assert pool.n_rebuilt == rebuilt
    assert len(disk.reads) == 3  # the rest came from the second tier
    assert residency.loads.count == 3
    residency.close()


def test_pinned_adapters_stay_and_an_eviction_ends_the_pin(disk: Disk) -> None:
    residency, pool = build(disk, rows=32)
    load(residency, "a")
    residency.pin("a", True)
    load(residency, *"beg")
    assert "a" in pool
    residency.pin("b", True)
    load(residency, "b")
    with pytest.raises(MemoryLimitError, match="unpin"):
        load(residency, "e")
    with pytest.raises(MemoryLimitError, match="no memory left"):
        acquire(residency, "e")
    assert residency.evict("a")
    load(residency, "e")
    residency.pin("b", False)
    load(residency, "a")
    assert "b" not in pool
    residency.close()


def test_a_pool_that_cannot_grow_stays_as_it_was(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    residency, pool = build(disk, rows=128)
    load(residency, *"abe")

    def refuse(pointers: object, infos: object, rows: int, dtype: object) -> object:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("edgelora.engine.pool.PoolTensors", refuse)
        with pytest.raises(EngineError, match="no memory"):
            load(residency, "f")
    assert (pool.rows, list(pool.adapters)) == (64, [*"abe"])
    assert same(pool.copy_of("a"), WHOLE["a"])
    load(residency, "f")
    assert pool.rows > 64
    assert all(same(pool.copy_of(name), WHOLE[name]) for name in "abef")
    assert pool.opener.n_opened == 1  # llama.cpp loads nothing for more rows
    residency.close()


def test_a_file_that_was_moved_is_found_even_if_there_was_no_room_when_that_was_said(disk: Disk) -> None:
    residency, _ = build(disk, rows=32, prepared_rows=0)
    load(residency, *"eab")
    moved = replace(WHOLE["e"].file, path=Path("elsewhere"))
    assert acquire(residency, "a", "b")
    with pytest.raises(MemoryLimitError):
        load_file(residency, moved)
    residency.release(under("a", "b"))
    for _ in range(2):
        residency.tick()  # nobody waits for it any more
    disk.paths.clear()
    assert acquire(residency, "e")
    assert disk.paths == [moved.path]
    residency.close()


def test_what_a_swap_costs_is_known_from_a_former_engine(disk: Disk) -> None:
    residency, _ = build(disk, rows=32, exclusive="asked for")
    status = replace(load_file(residency, WHOLE["a"].file), swap_ms=7.0)
    residency.close()
    residency, _ = build(disk, rows=32, exclusive="asked for")
    residency.know(WHOLE["a"].file, status)
    assert load_file(residency, WHOLE["a"].file).swap_ms == 7.0
    residency.close()


def test_an_adapter_in_use_is_never_touched(disk: Disk) -> None:
    residency, pool = build(disk, rows=32)
    load(residency, *"abe")
    assert acquire(residency, *"ab")
    assert not residency.evict("a")
    assert not acquire(residency, "e")
    assert residency.n_used == 2
    assert same(pool.copy_of("a"), WHOLE["a"])
    residency.release(under(*"ab"))
    assert acquire(residency, "e")
    residency.close()


def test_errors_of_the_reader_come_once_to_whoever_asks(disk: Disk) -> None:
    residency, _ = build(disk, rows=32)
    load(residency, *"ab")
    for name in "ab":
        residency.evict(name)
    disk.files["a"] = GGUFError("a: no such file")
    with pytest.raises(GGUFError, match="no such file"):
        acquire(residency, *"ab")
    assert residency.n_used == 0
    assert acquire(residency, "b")
    disk.files["a"] = WHOLE["a"]
    assert acquire(residency, "a")
    residency.close()


def test_making_room_for_one_member_does_not_lose_another(disk: Disk) -> None:
    residency, pool = build(disk, rows=32, prepared_rows=16)
    load(residency, *"bae")
    assert len(residency.prepared) == 1  # b
    residency.evict("a")
    load(residency, "g")
    assert set(pool.adapters) == {"e", "g"}
    assert acquire(residency, *"ab")
    assert set(pool.adapters) == {"a", "b"}
    residency.close()


@pytest.mark.parametrize("prepared_rows", [0, 200])
def test_selections_with_many_files_to_read_do_not_wait_for_each_other(disk: Disk, prepared_rows: int) -> None:
    residency, _ = build(disk, rows=200, prepared_rows=prepared_rows)
    load(residency, *NAMES)
    for name in NAMES:
        residency.evict(name)
    waiting = [under(*"abcdef"), under(*"cgh"), under(*"agb"), under(*"hde")]
    for _ in range(20):
        waiting = [selection for selection in waiting if not residency.acquire(selection)]
        residency.wait(10)
        residency.tick()
    assert not waiting
    residency.close()


def test_the_reader_does_not_run_ahead_of_its_room(disk: Disk) -> None:
    residency, _ = build(disk, rows=200, prepared_rows=0)
    load(residency, *NAMES)
    for name in NAMES:
        residency.evict(name)
    disk.reads.clear()
    for _ in range(10):
        for name in NAMES:
            residency.is_ready(under(name))
        residency.wait(10)
        residency.tick()
    assert len(disk.reads) == AT_ONCE
    residency.close()


def test_a_file_that_nobody_waits_for_any_more_is_kept_ready(disk: Disk) -> None:
    residency, _ = build(disk, rows=32)
    load(residency, "a")
    residency.evict("a")
    assert not residency.acquire(under("a"))
    residency.wait(10)
    for _ in range(2):
        residency.tick()
    assert len(residency.prepared) == 1
    assert residency.acquire(under("a"))
    assert disk.reads == ["a", "a"]
    residency.close()


def test_exclusive_adapters_have_the_same_budget(disk: Disk) -> None:
    residency, _ = build(disk, rows=40, exclusive="asked for")
    load(residency, *"abeg")
    assert residency.memory.nbytes <= 40 * ROW_BYTES
    assert len(residency.memory) == 2
    assert len(residency.prepared) == 0
    residency.close()


class Adapters(RuleBasedStateMachine):
    """Real residency and real rows; memory, files and the probe are stand-ins."""

    held = Bundle("held")

    @initialize(rows=st.sampled_from([32, 48, 96]), prepared_rows=st.sampled_from([0, 20, 64]))
    def start(self, rows: int, prepared_rows: int) -> None:
        self.disk = Disk()
        self.original, module.prepare = module.prepare, self.disk.prepare
        self.budgets = rows * ROW_BYTES, prepared_rows * ROW_BYTES
        self.residency, self.pool = build(self.disk, rows=rows, prepared_rows=prepared_rows)
        self.holds: list[Selection] = []
        self.pinned: set[str] = set()
        self.gone: set[str] = set()

    @rule(name=st.sampled_from(NAMES))
    def load(self, name: str) -> None:
        resident = name in self.residency.memory
        try:
            load(self.residency, name)
        except MemoryLimitError:
            assert not resident
        except (GGUFError, AdapterError) as error:
            self.raised(error, name)
            assert not resident

    def raised(self, error: EdgeloraError, *names: str) -> None:
        assert any(error is self.disk.files[name] for name in names)

    @rule(target=held, names=st.sets(st.sampled_from(NAMES[:-1]), min_size=1, max_size=3), data=st.data())
    def acquire(self, names: set[str], data: st.DataObject) -> Any:
        known = [name for name in names if name in self.residency._files]
        selection = under(*(known if data.draw(st.integers(0, 3)) else known[:1]))
        before = self.residency.n_used
        try:
            done = acquire(self.residency, *selection.adapters)
        except MemoryLimitError:
            assert not self.holds
            done = False
        except (GGUFError, AdapterError) as error:
            self.raised(error, *selection.adapters)
            done = False
        assert self.residency.n_used == before + done * len(selection.members)
        if not done:
            return None
        self.holds.append(selection)
        return selection

    @rule(selection=consumes(held))
    def release(self, selection: Selection | None) -> None:
        if selection is not None:
            self.residency.release(selection)
            self.holds.remove(selection)

    @rule(name=st.sampled_from(NAMES))
    def evict(self, name: str) -> None:
        used = any(name in selection.adapters for selection in self.holds)
        assert self.residency.evict(name) == (not used)
        if not used:
            assert name not in self.residency.memory
            self.pinned.discard(name)

    @rule(name=st.sampled_from(NAMES), pinned=st.booleans())
    def pin(self, name: str, pinned: bool) -> None:
        if name in self.residency.memory:
            self.residency.pin(name, pinned)
            (self.pinned.add if pinned else self.pinned.discard)(name)

    @rule(name=st.sampled_from(NAMES), error=st.sampled_from([GGUFError("gone"), AdapterError("changed"), None]))
    def change_file(self, name: str, error: EdgeloraError | None) -> None:
        self.disk.files[name] = error or WHOLE[name]

    @rule(steps=st.sampled_from([1, 33]))
    def tick(self, steps: int) -> None:
        for _ in range(steps):
            self.residency.tick()

    @invariant()
    def budgets_hold(self) -> None:
        assert self.residency.memory.nbytes <= self.budgets[0]
        assert self.residency.prepared.nbytes <= self.budgets[1]

    @invariant()
    def counts_are_those_of_the_holds(self) -> None:
        assert min(self.residency._users.values(), default=0) >= 0
        assert self.residency.n_used == sum(len(selection.members) for selection in self.holds)

    @invariant()
    def what_is_used_or_pinned_is_there(self) -> None:
        for name in self.pinned.union(*(selection.adapters for selection in self.holds)):
            assert name in self.residency.memory

    @invariant()
    def residents_are_what_they_were_on_disk(self) -> None:
        for name in self.pool.adapters:
            assert same(self.pool.copy_of(name), WHOLE[name])
            scales = self.pool.masks([under(name)], [1])[0][0]
            mine = self.pool._residents[name].rows
            assert set(scales.nonzero()[0].tolist()) == set(mine.tolist())

    def teardown(self) -> None:
        if hasattr(self, "residency"):
            for selection in self.holds:
                self.residency.release(selection)
            assert all(self.residency.evict(name) for name in NAMES)
            assert self.residency.memory.nbytes == self.residency.prepared.nbytes == 0
            self.residency.close()
            module.prepare = self.original


Adapters.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAdapters = Adapters.TestCase
