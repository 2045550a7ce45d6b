"""Clients take turns; the queue has an end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sequences import sequence

from edgelora.engine.waiting import WaitingQueue
from edgelora.errors import QueueFullError


def admitted_in_order(queue: WaitingQueue) -> list[str]:
    order = []
    while turns := queue.in_turn():
        order.append(turns[0].request.id)
        queue.take(turns[0])
    return order


def test_clients_take_turns() -> None:
    queue = WaitingQueue(20)
    for client, n_requests in (("a", 4), ("b", 2), ("c", 1)):
        for i in range(n_requests):
            queue.add(sequence(f"{client}{i}", client=client), 0)
    assert admitted_in_order(queue) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_requests_without_a_client_are_first_come_first_served() -> None:
    queue = WaitingQueue(20)
    for name in ("x", "y", "z"):
        queue.add(sequence(name), 0)
    assert admitted_in_order(queue) == ["x", "y", "z"]


def test_the_queue_has_an_end() -> None:
    queue = WaitingQueue(2)
    for i in range(3):
        queue.add(sequence(f"r{i}"), 1)  # one of them will run at once
    with pytest.raises(QueueFullError, match="3 requests are waiting"):
        queue.add(sequence("late"), 1)
    queue.add(sequence("warm", background=True), 0)  # in a queue of its own
    queue.remove(queue.in_turn()[0])
    queue.add(sequence("later"), 1)
    assert len(queue) == 4


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40))
def test_nobody_waits_longer_than_a_turn_of_all_others(steps: list[tuple[str, bool]]) -> None:
    """Whoever is the next of its client sees each other client admitted once at most before it."""
    queue, since = WaitingQueue(100), {}  # type: ignore[var-annotated]
    for i, (client, admit) in enumerate(steps):
        if not admit:
            queue.add(sequence(f"r{i}", client=client), 0)
        elif turns := queue.in_turn():
            queue.take(turns[0])
            assert turns[0].overtaken == 0
            since = {head: [*others, turns[0].client] for head, others in since.items() if head is not turns[0]}
        since |= {head: [] for head in queue.in_turn() if head not in since}
        assert all(len(others) == len(set(others)) for others in since.values())
