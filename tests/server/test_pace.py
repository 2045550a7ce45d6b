"""When somebody who was sent away should come again."""

from __future__ import annotations

from edgelora.server.pace import LONGEST_S, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_before_any_answer_has_ended_it_is_a_second() -> None:
    assert Pace().seconds(50) == 1


def test_it_is_as_long_as_so_many_answers_take() -> None:
    clock = Clock()
    pace = Pace(clock)
    for others in range(8):
        pace.note_begin(others)
    for _ in range(8):
        clock.now += 0.5
        pace.note_end()
    assert pace.seconds(1) == 1
    assert pace.seconds(20) == 10
    assert pace.seconds(10_000) == LONGEST_S


def test_time_in_which_nobody_asks_does_not_count() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(3):
        pace.note_begin(0)
        clock.now += 2
        pace.note_end()
        clock.now += 5000
    assert pace.seconds(4) == 8
