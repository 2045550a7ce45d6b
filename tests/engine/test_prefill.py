"""Prompts are read one after the other, and nobody is later than with equal shares of every step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.sequences import give_slot, sequence

from edgelora.engine.prefill import divide
from edgelora.engine.sequence import Sequence
from edgelora.engine.shares import equal_shares

Arrivals = list[tuple[int, str, int]]
"""The step in which it comes, whose it is, how long it is."""

arrivals = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("abcdefgh"), st.integers(1, 400)), min_size=1, max_size=16
).map(sorted)
budgets = st.lists(st.integers(16, 144), min_size=1, max_size=5)


class Reader:
    """Reads prompts as they come, with another budget in every step."""

    def __init__(self, arriving: Arrivals, budgets: list[int]) -> None:
        self.prompts = [give_slot(sequence(f"{i}", n, client=client)) for i, (_, client, n) in enumerate(arriving)]
        self.completed: dict[Sequence, int] = {}
        self.n_times = dict.fromkeys(self.prompts, 0)
        self.step = 0
        begins = [step for step, _, _ in arriving]
        while len(self.completed) < len(self.prompts):
            here = [
                each
                for each, begin in zip(self.prompts, begins, strict=True)
                if begin <= self.step and each not in self.completed
            ]
            self._read(here, budgets[self.step % len(budgets)])
            self.step += 1

    def _read(self, here: list[Sequence], budget: int) -> None:
        wanted = [each.n_pending for each in here]
        got = divide(here, budget)
        assert sum(got) == min(budget, sum(wanted))
        assert all(0 <= n <= most for n, most in zip(got, wanted, strict=True))
        for each, n in zip(here, got, strict=True):
            each.held.tokens += each.pending(n)
            self.n_times[each] += n > 0
            if not each.n_pending:
                self.completed[each] = self.step


def with_equal_shares(arriving: Arrivals, budgets: list[int]) -> list[int]:
    """The step in which each would be complete if every client got an equal share of each."""
    left = [n for _, _, n in arriving]
    completed = [0] * len(arriving)
    step = 0
    while any(left):
        here = [i for i, (begin, _, _) in enumerate(arriving) if begin <= step and left[i]]
        clients = list(dict.fromkeys(arriving[i][1] for i in here))
        wanted = [sum(left[i] for i in here if arriving[i][1] == client) for client in clients]
        shares = dict(zip(clients, equal_shares(wanted, budgets[step % len(budgets)]), strict=True))
        for i in here:
            client = arriving[i][1]
            taken = min(left[i], shares[client])
            shares[client] -= taken
            left[i] -= taken
            if not left[i]:
                completed[i] = step
        step += 1
    return completed


@given(arrivals, budgets)
def test_nobody_is_later_than_with_equal_shares(arriving: Arrivals, budgets: list[int]) -> None:
    reader = Reader(arriving, budgets)
    fair = with_equal_shares(arriving, budgets)
    late = {each.request.id: reader.completed[each] - fair[i] for i, each in enumerate(reader.prompts)}
    assert max(late.values()) <= 1, late  # a step, where shares do not come out even


def test_nobody_begins_to_answer_earlier_while_others_read() -> None:
    arriving = [(0, client, n) for client, n in zip("abcdef", (300, 300, 60, 60, 61, 900), strict=True)]
    reader = Reader(arriving, [64])
    assert [reader.completed[each] for each in reader.prompts] == with_equal_shares(arriving, [64])


def test_long_prompts_are_read_in_one_piece_as_far_as_the_steps_allow() -> None:
    reader = Reader([(0, client, 512) for client in "abcdefghijklmnop"], [128])
    assert max(reader.n_times.values()) <= 6
    assert set(reader.completed.values()) == {reader.step - 1}


def test_what_another_has_computed_meanwhile_is_not_waited_for() -> None:
    first, second = (give_slot(sequence(name, 500, client=name)) for name in "ab")
    for _ in range(3):
        for each, n in zip((first, second), divide([first, second], 64), strict=True):
            each.held.tokens += each.pending(n)
    assert not second.held.tokens
    second.held.tokens += second.pending(460)
    assert divide([first, second], 64)[1] == 40


def test_what_a_cancelled_prompt_was_ahead_is_not_made_up_for() -> None:
    first, second = (give_slot(sequence(name, n, client=name)) for name, n in (("a", 3900), ("b", 4000)))
    while first.n_pending > 100:
        for each, n in zip((first, second), divide([first, second], 128), strict=True):
            each.held.tokens += each.pending(n)
    assert second.ahead < -1000
    newcomer = give_slot(sequence("c", 60, client="c"))
    assert divide([second, newcomer], 128)[1] == 60
