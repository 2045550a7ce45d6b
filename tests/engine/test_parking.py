"""Conversations that the cache has no room for come back from memory or from disk; what is damaged there does not."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kv_model import BYTES, ModelMemory

from edgelora.engine import parked_file
from edgelora.engine.kv import KVStore, Slot
from edgelora.engine.parked_folder import ParkedFolder
from edgelora.engine.parking import Parking
from edgelora.native.sequences import SavedState
from edgelora.types import BASE, Member, Selection

CELLS, PLENTY = 20, 10**6
ADAPTED = Selection.of([Member("a" * 64, 0.5)])
FIRST, SECOND = list(range(12)), list(range(100, 112))


def talk(store: KVStore, memory: ModelMemory, tokens: list[int], under: Selection = BASE) -> int:
    """Read ``tokens``; how many of them were not computed."""
    slot = store.acquire(under, tokens, len(tokens), recompute_last=False)
    assert slot is not None
    known = len(slot.tokens)
    memory.compute(slot, tokens[known:])
    assert memory.held[slot.sequence] == [(token, under) for token in tokens]
    store.release(slot)
    return known


@pytest.fixture
def memory() -> ModelMemory:
    return ModelMemory()


def test_a_conversation_that_made_room_comes_back(memory: ModelMemory) -> None:
    store = KVStore(memory, CELLS, 4, Parking(PLENTY))
    assert [talk(store, memory, tokens) for tokens in (FIRST, SECOND, [*FIRST, 1], SECOND)] == [0, 0, 12, 12]
    assert store.parking.counts.parked == 3
    assert store.parking.counts.restored == 2
    assert store.parking.n_bytes == 13 * BYTES, "only what the cache does not hold is kept"


def test_without_a_budget_it_is_lost(memory: ModelMemory) -> None:
    store = KVStore(memory, CELLS, 4, Parking(0))
    assert [talk(store, memory, tokens) for tokens in (FIRST, SECOND, FIRST)] == [0, 0, 0]
    assert memory._saved == []


def test_another_selection_does_not_get_it(memory: ModelMemory) -> None:
    store = KVStore(memory, CELLS, 4, Parking(PLENTY))
    asked = [(FIRST, BASE), (FIRST, ADAPTED), (FIRST, BASE), (FIRST, ADAPTED)]
    assert [talk(store, memory, tokens, under) for tokens, under in asked] == [0, 0, 12, 12]


def test_a_branch_of_a_parked_conversation_leaves_it_parked(memory: ModelMemory) -> None:
    store = KVStore(memory, CELLS, 4, Parking(PLENTY))
    branch = [*FIRST[:4], 50, 51, 52]
    assert [talk(store, memory, tokens) for tokens in (FIRST, SECOND, branch)] == [0, 0, 4]
    talk(store, memory, SECOND)
    assert talk(store, memory, FIRST) == 12


def test_recurrent_memory_comes_back_whole_or_not_at_all() -> None:
    memory = ModelMemory("recurrent")
    store = KVStore(memory, CELLS, 4, Parking(PLENTY))
    assert [talk(store, memory, tokens) for tokens in (FIRST, SECOND, FIRST[:-1])] == [0, 0, 0]
    assert [talk(store, memory, tokens) for tokens in (SECOND, [*FIRST, 1])] == [12, 12]


def test_a_refused_restore_is_a_miss(memory: ModelMemory) -> None:
    store = KVStore(memory, CELLS, 4, Parking(PLENTY))
    talk(store, memory, FIRST)
    talk(store, memory, SECOND)
    memory.refuses = True
    assert talk(store, memory, FIRST) == 0
    assert store.parking.counts.lost == 1


def test_a_prefix_in_use_is_shared_and_one_begun_beside_it_is_caught_up_with(memory: ModelMemory) -> None:
    store = KVStore(memory, 10 * CELLS, 4)
    first, second = (begin(store, [*FIRST, end], 40) for end in (1, 2))
    assert first.tokens == second.tokens == []
    memory.compute(first, [*FIRST, 1])
    store.catch_up(second, [*FIRST, 2])
    assert second.tokens == FIRST
    assert begin(store, FIRST, 20).tokens == FIRST[:-1]
    assert begin(store, FIRST, 20, ADAPTED).tokens == []
    assert store.counts.shared == 2


def begin(store: KVStore, tokens: list[int], reserve: int, under: Selection = BASE) -> Slot:
    slot = store.acquire(under, tokens, reserve, recompute_last=True)
    assert slot is not None
    return slot


# --- the folder


def state_of(tokens: list[int]) -> SavedState:
    return SavedState(np.repeat(np.array(tokens, np.uint8), 200), 0)


def filled(folder: Path, owner: str = "owner", budget: int = PLENTY) -> ParkedFolder:
    """A folder with FIRST of the base and SECOND of a selection."""
    parked = ParkedFolder(folder, owner, budget)
    for under, tokens in ((BASE, FIRST), (ADAPTED, SECOND)):
        assert parked.put(under, tokens, state_of(tokens))
        parked.close()
        aged(folder)
        parked = ParkedFolder(folder, owner, budget)
    return parked


def aged(folder: Path) -> None:
    """Make every file a second older: their order is that of their times, and a system's clock of files is coarse."""
    for path in folder.iterdir():
        time_ns = path.stat().st_mtime_ns - 10**9
        os.utime(path, ns=(time_ns, time_ns))


def found(parked: ParkedFolder, under: Selection, tokens: list[int]) -> bytes | None:
    parking = Parking(0, parked)
    entry, length = parking.best(under, tokens, most=PLENTY)
    state = parking.take(entry, keep=True) if entry else None
    assert not entry or length == len(entry.tokens)
    return state.data.tobytes() if state else None


def test_what_was_spilled_is_found_after_a_restart(tmp_path: Path, memory: ModelMemory) -> None:
    def opened() -> Parking:
        return Parking(0, ParkedFolder(tmp_path / "parked", "owner", PLENTY))

    store = KVStore(memory, CELLS, 4, opened())
    talk(store, memory, FIRST, ADAPTED)
    talk(store, memory, SECOND)
    store.parking.close()
    assert store.parking.n_bytes_on_disk == 12 * BYTES
    memory.held.clear()
    again = KVStore(memory, CELLS, 4, opened())
    assert talk(again, memory, FIRST) == 0
    assert talk(again, memory, FIRST, ADAPTED) == 12
    again.parking.close()
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "parked").iterdir()}
    assert modes == {0}, "nobody else may read what was said"


def test_only_its_owner_finds_it(tmp_path: Path) -> None:
    filled(tmp_path)
    assert found(ParkedFolder(tmp_path, "owner", PLENTY), BASE, FIRST) == state_of(FIRST).data.tobytes()
    assert found(ParkedFolder(tmp_path, "other", PLENTY), BASE, FIRST) is None
    assert found(ParkedFolder(tmp_path, "owner", PLENTY), ADAPTED, FIRST) is None


def test_a_disk_that_is_too_slow_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = state_of(FIRST).data.nbytes
    monkeypatch.setattr("edgelora.engine.parked_folder.BEHIND", 3 * size)
    let_go, write = threading.Event(), parked_file.write

    def slow(*arguments: object) -> object:
        let_go.wait()
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(parked_file, "write", slow)
    parked = ParkedFolder(tmp_path, "owner", PLENTY)
    assert [parked.put(BASE, [begin, *FIRST[1:]], state_of(FIRST)) for begin in range(5)] == [True] * 3 + [False] * 2
    let_go.set()
    parked.close()
    assert parked.n_bytes == 3 * size


@settings(max_examples=60)
@given(
    at=st.integers(0, 10**6),
    change=st.sampled_from(["flip", "cut", "grow", "empty", "gone"]),
    opened_before=st.booleans(),
    data=st.data(),
)
def test_a_damaged_file_is_ignored_and_removed(
    at: int, change: str, opened_before: bool, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("parked")
    before = filled(folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at] ^= 0x40
    damaged = {"flip": bytes(content), "cut": content[:at], "grow": bytes(content) + b"\0", "empty": b""}
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(damaged[change])
    parked = before if opened_before else ParkedFolder(folder, "owner", PLENTY)
    for under, tokens in ((BASE, FIRST), (ADAPTED, SECOND)):
        assert found(parked, under, tokens) in (None, state_of(tokens).data.tobytes())
    if not opened_before:  # a header that was read before is known
        assert len(list(folder.iterdir())) == 1


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "x.parked").write_text("mine too")
    (tmp_path / ".download.part").write_text("mine as well")
    (tmp_path / f".{'0' * 24}.parked.{'1' * 12}.part").write_text("abandoned")
    (tmp_path / f"{'0' * 24}.parked").write_text("not whole")
    filled(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names > {"notes.txt", "x.parked", ".download.part"}
    assert len(names) == 5


def test_the_folder_keeps_to_its_budget_over_restarts_and_owners(tmp_path: Path) -> None:
    size = state_of(FIRST).data.nbytes
    filled(tmp_path)
    parked = filled(tmp_path, owner="other", budget=3 * size)
    assert parked.n_bytes == 3 * size
    assert found(parked, BASE, FIRST)
    assert found(parked, ADAPTED, SECOND)
    owner = ParkedFolder(tmp_path, "owner", 3 * size)
    assert found(owner, BASE, FIRST) is None
    assert found(owner, ADAPTED, SECOND)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 * size


def test_a_full_disk_keeps_nothing_and_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: ModelMemory
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = KVStore(memory, CELLS, 4, Parking(0, ParkedFolder(tmp_path, "owner", PLENTY)))
    monkeypatch.setattr(os, "fsync", full)
    assert [talk(store, memory, tokens) for tokens in (FIRST, SECOND, FIRST)] == [0, 0, 0]
    store.parking.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_no_error(tmp_path: Path, memory: ModelMemory) -> None:
    (tmp_path / "file").write_text("")
    store = KVStore(memory, CELLS, 4, Parking(0, ParkedFolder(tmp_path / "file" / "parked", "owner")))
    assert [talk(store, memory, tokens) for tokens in (FIRST, SECOND, FIRST)] == [0, 0, 0]
    store.parking.close()


def _write_until_killed(folder: Path) -> None:
    state = SavedState(np.ones(2**24, np.uint8), 0)
    while True:
        parked_file.write(folder / f"{'1' * 24}.parked", "owner", BASE, FIRST, state)


def test_a_killed_writer_leaves_nothing_half_written(tmp_path: Path) -> None:
    for _ in range(3):
        writer = multiprocessing.get_context("spawn").Process(target=_write_until_killed, args=(tmp_path,))
        writer.start()
        while not list(tmp_path.glob("*.part")):
            time.sleep(0.001)
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        parked = ParkedFolder(tmp_path, "owner", 2**30)
        assert not list(tmp_path.glob(".*.part"))
        state = found(parked, BASE, FIRST)
        assert state is None or state == b"\1" * 2**24
