"""Sequences cut, shared, saved and restored, on caches of every kind: what follows is computed right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.kv_machine import CHUNK, Machine, same
from support.memory_bases import BASES, WINDOW

LONG = [(7 * i) % 40 for i in range(3 * WINDOW)]
OTHER = [(5 * i + 3) % 40 for i in range(3 * WINDOW)]


@pytest.fixture(params=BASES)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(BASES[request.param](tmp_path / "base.gguf"))
    yield made
    made.close()


def compute_crowded(machine: Machine) -> None:
    """LONG as sequence 0; then others need cells before those of LONG, and llama.cpp goes on into the ones outside its
    window."""
    machine.compute(3, OTHER[: CHUNK // 2])
    machine.compute(0, LONG)
    machine.memory.forget(3)
    machine.compute(1, [*OTHER, *OTHER][:CHUNK])


def test_a_saved_sequence_goes_on_as_if_it_had_stayed(machine: Machine) -> None:
    expected = machine.cold([*LONG, 1, 2])
    machine.compute(0, LONG)
    state = machine.memory.save(0)
    assert state is not None
    machine.memory.forget(0)
    machine.compute(0, OTHER)  # other cells than before
    assert machine.memory.restore(1, state)
    assert same(machine.compute(1, [1, 2], position=len(LONG)), expected)
    assert machine.memory.save(2) is None


@pytest.mark.parametrize("length", [1, WINDOW, len(LONG) - WINDOW - 1, len(LONG) - 1, len(LONG)])
def test_what_may_be_cut_goes_on_right(machine: Machine, length: int) -> None:
    expected = machine.cold([*LONG[:length], 1])
    compute_crowded(machine)
    state = machine.memory.save(0)
    assert state is not None
    if length >= machine.memory.shortest(0):
        assert length == len(LONG) or machine.memory.forget(0, length)
        assert same(machine.compute(0, [1], position=length), expected)
    machine.context.forget_everything()
    if length >= state.shortest:
        assert machine.memory.restore(3, state)
        assert length == len(LONG) or machine.memory.forget(3, length)
        assert same(machine.compute(3, [1], position=length), expected)
    assert state.shortest <= len(LONG)


def test_cutting_where_it_is_not_allowed_would_be_wrong(tmp_path: Path) -> None:
    """The test above is not empty: llama.cpp does hand out the cells outside the window, and says nothing."""
    machine = Machine(BASES["windowed"](tmp_path / "base.gguf"))
    length = WINDOW
    expected = machine.cold([*LONG[:length], 1])
    compute_crowded(machine)
    assert length < machine.memory.shortest(0) <= len(LONG)
    assert machine.context.forget(0, length)
    assert not same(machine.compute(0, [1], position=length), expected)
    machine.close()


def test_a_shared_prefix_stays_right_in_both(machine: Machine) -> None:
    expected = {token: machine.cold([*LONG, token, 3]) for token in (1, 2)}
    machine.compute(0, LONG)
    machine.memory.share(0, 1, len(LONG))
    machine.compute(0, [1], position=len(LONG))
    machine.compute(1, [2], position=len(LONG))
    assert same(machine.compute(0, [3], position=len(LONG) + 1), expected[1])
    machine.memory.forget(0)
    assert same(machine.compute(1, [3], position=len(LONG) + 1), expected[2])


def test_a_refused_state_leaves_nothing(machine: Machine) -> None:
    machine.compute(0, LONG)
    state = machine.memory.save(0)
    assert state is not None
    for size in (0, 8, state.data.size // 2, state.data.size - 1):
        machine.compute(2, [1, 2, 3])
        assert not machine.memory.restore(2, replace(state, data=state.data[:size].copy()))
        assert machine.memory.save(2) is None


def test_without_memory_nothing_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(size: int, dtype: object) -> None:
        raise MemoryError

    machine = Machine(BASES["full"](tmp_path / "base.gguf"))
    machine.compute(0, LONG)
    monkeypatch.setattr("edgelora.native.sequences.np.empty", full)
    assert machine.memory.save(0) is None
    machine.close()


def test_a_state_without_room_is_refused(tmp_path: Path) -> None:
    machine = Machine(BASES["full"](tmp_path / "base.gguf"))
    machine.compute(0, LONG)
    state = machine.memory.save(0)
    assert state is not None
    for sequence in (1, 2):
        for position in (0, len(OTHER)):
            machine.compute(sequence, OTHER, position)
    assert not machine.memory.restore(3, state)
    assert machine.memory.save(3) is None
    machine.close()
