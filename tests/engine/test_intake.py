"""Who finds no room is overtaken, by a bounded number of others, and everybody is admitted in the end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sequences import give_slot, sequence

from edgelora.engine.intake import Intake
from edgelora.engine.pace import Pace
from edgelora.engine.scheduler import Scheduler
from edgelora.engine.sequence import Sequence
from edgelora.engine.waiting import PATIENCE

ROOM, PLACES = 10, 4


class FakeAdmission:
    """Room for ``ROOM``; a sequence takes as much as its prompt has tokens. Some have files to be read first."""

    def __init__(self) -> None:
        self.free = ROOM
        self.rereads = 0  # what finds no room may have to be read again
        self.unread: dict[str, int] = {}  # asked for so many times more until they are read

    def is_read(self, waiting: Sequence) -> bool:
        left = self.unread.get(waiting.request.id, 0)
        self.unread[waiting.request.id] = max(0, left - 1)
        return left == 0

    def admit(self, waiting: Sequence) -> bool:
        needed = len(waiting.request.tokens)
        if needed > ROOM:
            raise MemoryError
        if needed > self.free:
            self.unread[waiting.request.id] = self.rereads
            return False
        self.free -= needed
        give_slot(waiting)
        return True


class House:
    """An intake, and what it does with its sequences."""

    def __init__(self) -> None:
        self.admission = FakeAdmission()
        self.scheduler = Scheduler(
            batch=144, places=PLACES, max_waiting=1000, pace=Pace(), group_of=lambda selection: None
        )
        self.begun: list[str] = []
        self.refused: list[str] = []
        self.dropped: list[str] = []
        self.intake = Intake(
            self.scheduler,
            self.admission,  # type: ignore[arg-type]
            begin=lambda admitted: self.begun.append(admitted.request.id),
            refuse=self.refuse,
            drop=self.drop,
        )

    def submit(self, *waiting: Sequence) -> None:
        for one in waiting:
            self.scheduler.submit(one)
        self.intake.note_arrival()

    def refuse(self, waiting: Sequence, error: Exception) -> None:
        self.scheduler.remove(waiting)
        self.refused.append(waiting.request.id)

    def drop(self, running: Sequence) -> None:
        self.end(running)
        self.dropped.append(running.request.id)

    def end(self, running: Sequence) -> None:
        self.scheduler.remove(running)
        self.admission.free += len(running.request.tokens)
        self.intake.note_freed()


@given(st.randoms(use_true_random=False), st.integers(1, 6), st.integers(0, 2))
def test_everybody_is_admitted_within_bounds(rng: random.Random, n_clients: int, rereads: int) -> None:
    house, born, n_submitted = House(), {}, 80
    house.admission.rereads = rereads
    for i in range(n_submitted):
        name = f"r{i}"
        house.admission.unread[name] = rng.choice((0, 0, 0, 3))
        house.submit(sequence(name, rng.choice((1, 1, 2, 3, 10)), client=f"c{rng.randrange(n_clients)}"))
        born[name] = len(house.begun)
        settle(house, rng)
    while house.scheduler.sequences:
        settle(house, rng)
    assert sorted(house.begun) == sorted(born)
    assert house.admission.free == ROOM


def settle(house: House, rng: random.Random) -> None:
    """A step: let in, then perhaps somebody ends. Nobody at the head of a client's line is overtaken for ever."""
    house.intake.admit()
    assert len(house.scheduler.running) <= PLACES
    for head in house.scheduler.waiting.in_turn():
        assert head.overtaken <= PATIENCE + 3 + len(house.scheduler.waiting.in_turn())  # 3: while it was being read
    if house.scheduler.running and rng.random() < 0.5:
        house.end(rng.choice(house.scheduler.running))


@pytest.mark.parametrize("rereads", [0, 1])
def test_small_ones_overtake_a_large_one_but_not_for_ever(rereads: int) -> None:
    house = House()
    house.admission.rereads = rereads
    house.submit(sequence("first", 1), sequence("large", 10))
    house.intake.admit()
    n_small = 0
    while "large" not in house.begun:
        n_small += 1
        house.submit(sequence(f"small{n_small}", 1))
        house.intake.admit()
        if house.scheduler.running:
            house.end(house.scheduler.running[0])
    assert house.begun[: PATIENCE + 1] == ["first", *(f"small{i + 1}" for i in range(PATIENCE))]
    assert house.begun[PATIENCE + 1] == "large"


def test_reading_holds_nobody_up() -> None:
    house = House()
    house.admission.unread["cold"] = 10**6
    house.submit(sequence("cold"))
    for i in range(2 * PATIENCE):
        house.submit(sequence(f"r{i}", 1))
        house.intake.admit()
        assert house.begun[-1] == f"r{i}"
        house.end(house.scheduler.running[0])
    house.admission.unread["cold"] = 1
    for _ in range(2):
        house.intake.admit()
    assert house.begun[-1] == "cold"


def test_what_can_never_be_admitted_is_refused_and_holds_nobody_up() -> None:
    house = House()
    house.submit(sequence("huge", 11, client="a"), sequence("next", 1, client="a"))
    house.intake.admit()
    assert (house.refused, house.begun) == (["huge"], ["next"])


def test_nothing_is_tried_again_before_something_changes() -> None:
    house = House()
    house.submit(sequence("first", 8), sequence("second", 8))
    house.intake.admit()
    house.admission.free = 100
    house.intake.admit()
    assert house.begun == ["first"]
    house.intake.note_freed()
    house.intake.admit()
    assert house.begun == ["first", "second"]


def test_the_background_waits_for_everybody_and_makes_room() -> None:
    house = House()
    house.submit(sequence("warm1", 3, background=True), sequence("real", 1))
    house.intake.admit()
    assert house.begun == ["real"]
    house.end(house.scheduler.running[0])
    house.submit(sequence("warm2", 4, background=True))
    for _ in range(2):
        house.intake.admit()
    assert house.begun == ["real", "warm1", "warm2"]
    house.submit(sequence("small", 3))
    house.intake.admit()
    assert house.dropped == []
    house.submit(sequence("large", 6))
    house.intake.admit()
    assert house.dropped == ["warm2", "warm1"][: len(house.dropped)]
    assert house.begun[-2:] == ["small", "large"]
