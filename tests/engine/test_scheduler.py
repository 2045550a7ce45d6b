"""What a step computes: nobody's pace is ruined, and no prompt holds up another client's."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sequences import give_slot, sequence

from edgelora.engine.following import without_followers
from edgelora.engine.pace import Pace
from edgelora.engine.scheduler import FLUENT, LONGEST, ROWS, Plan, Scheduler
from edgelora.engine.sequence import Sequence
from edgelora.errors import EngineError

BATCH = 144


class Machine:
    """A scheduler on a machine that takes a moment for each step and for each token."""

    def __init__(self, step_s: float = 0.02, token_s: float = 0.007) -> None:
        self.cost = lambda n_tokens: step_s + token_s * n_tokens
        self.pace = Pace()
        for size in [2**i for i in range(9)] * 3:
            self.pace.learn(size, self.cost(size))
        self.scheduler = Scheduler(
            batch=BATCH, places=16, max_waiting=256, pace=self.pace, group_of=lambda selection: None
        )

    def run(self, *waiting: Sequence) -> None:
        for one in waiting:
            self.scheduler.submit(one)
            self.scheduler.admit(give_slot(one))

    def step(self) -> Plan:
        plan = self.scheduler.plan()
        assert 0 < plan.n_tokens <= BATCH
        for chunk in plan.chunks:
            chunk.sequence.held.tokens.extend(chunk.tokens)
            if chunk.wants_logits:
                chunk.sequence.produced.append(0)
        return plan


def steps_to_first_token(machine: Machine, wanted: Sequence) -> int:
    for n_steps in count(1):
        machine.step()
        if wanted.produced:
            return n_steps
    raise AssertionError


def test_a_long_prompt_does_not_hold_up_a_short_one_of_another_client() -> None:
    machine = Machine()
    machine.run(sequence("long", 4000, client="a"))
    machine.step()
    machine.run(short := sequence("short", 60, client="b"))
    assert steps_to_first_token(machine, short) <= 2


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12), st.integers(0, 3), st.floats(0.001, 0.1))
def test_a_step_has_time_for_every_prompt(lengths: list[int], n_answering: int, token_s: float) -> None:
    machine = Machine(token_s=token_s)
    machine.run(*(sequence(f"a{i}", 1) for i in range(n_answering)))
    if n_answering:
        machine.step()
    machine.run(*(sequence(f"p{i}", length) for i, length in enumerate(lengths)))
    plan = machine.step()
    assert len(plan.chunks) > n_answering
    assert plan.n_tokens - n_answering >= len(lengths)


@given(st.integers(0, 12), st.floats(0.003, 0.02))
def test_a_batch_is_filled_to_what_llama_cpp_multiplies_at_once(n_answering: int, token_s: float) -> None:
    machine = Machine(token_s=token_s)
    machine.run(*(sequence(f"a{i}", 1) for i in range(n_answering)))
    if n_answering:
        machine.step()
    machine.run(sequence("prompt", 3000))
    n_tokens = machine.step().n_tokens
    assert n_tokens % ROWS == 0 or n_tokens < ROWS


def test_prompts_of_one_client_are_computed_one_after_the_other() -> None:
    machine = Machine()
    machine.run(sequence("a1", 1000, client="a"), sequence("a2", 60, client="a"), sequence("b", 1000, client="b"))
    read = [chunk.sequence.request.id for _ in range(20) for chunk in machine.step().chunks]
    assert set(read) == {"a1", "a2", "b"}
    assert read.index("a2") > max(i for i, name in enumerate(read[: read.index("a2")]) if name == "a1")


def test_the_shorter_of_two_that_begin_alike_is_computed_for_both() -> None:
    long, short, other = (give_slot(sequence(name, n)) for name, n in (("a", 400), ("b", 100), ("c", 300)))
    short.request = replace(short.request, tokens=long.request.tokens[:100])
    assert without_followers([long, other, short]) == [other, short]


def test_who_waits_for_others_of_its_own_client_holds_up_nobody_else() -> None:
    shared = tuple(range(100))
    before, behind, free = (give_slot(sequence(name, 300, client=name[0])) for name in ("a before", "a behind", "b"))
    behind.request = replace(behind.request, tokens=shared)
    free.request = replace(free.request, tokens=(*shared, 1))
    assert without_followers([before, behind, free]) == [before, free]


@pytest.mark.parametrize("n_answering", [1, 4, 12])
@pytest.mark.parametrize("token_s", [0.001, 0.01, 0.1])
def test_answers_keep_half_of_their_pace_beside_a_prompt(n_answering: int, token_s: float) -> None:
    machine = Machine(token_s=token_s)
    machine.run(*(sequence(f"a{i}", 1) for i in range(n_answering)))
    machine.step()
    machine.run(sequence("prompt", 3000))
    plan = machine.step()
    assert plan.n_tokens > n_answering
    assert machine.cost(plan.n_tokens) <= 1.1 * max(FLUENT, 2 * machine.cost(n_answering))


@pytest.mark.parametrize("token_s", [0.0001, 0.007, 0.1])
def test_alone_a_prompt_gets_the_batch_or_what_fits_the_longest_step(token_s: float) -> None:
    machine = Machine(token_s=token_s)
    machine.run(sequence("prompt", 3000))
    plan = machine.step()
    assert plan.n_tokens == BATCH or LONGEST / 2 < machine.cost(plan.n_tokens) <= LONGEST


def test_the_background_is_computed_while_nothing_else_is() -> None:
    machine = Machine()
    machine.run(warm := sequence("warm", 500, background=True, max_tokens=0))
    plan = machine.step()
    assert machine.cost(plan.n_tokens) <= FLUENT
    computed = len(warm.held.tokens)
    machine.run(real := sequence("real", 300))
    steps_to_first_token(machine, real)
    assert len(warm.held.tokens) == computed
    machine.scheduler.remove(real)
    machine.step()
    assert len(warm.held.tokens) > computed


def test_the_background_stands_back_for_what_still_waits() -> None:
    machine = Machine()
    machine.run(sequence("warm", 500, background=True))
    assert machine.scheduler.has_work
    machine.scheduler.submit(waiting := sequence("real"))
    assert not machine.scheduler.has_work
    machine.scheduler.remove(waiting)
    assert machine.scheduler.has_work


def test_who_has_ended_is_forgotten_long_before_the_deadline() -> None:
    machine = Machine()
    machine.run(stays := sequence("stays", deadline_s=600.0))
    for i in range(1000):
        machine.run(one := sequence(f"{i}", deadline_s=500.0))
        machine.scheduler.remove(one)
    assert len(machine.scheduler._deadlines) < 100
    assert machine.scheduler.overdue(1e9) == [stays]


def test_deadlines_are_found_once() -> None:
    machine = Machine()
    late, later, gone = (sequence(name, deadline_s=1.0) for name in ("late", "later", "gone"))
    late.submitted, later.submitted, gone.submitted = 0.0, 0.5, 0.1
    for one in (late, later, gone, sequence("patient")):
        machine.scheduler.submit(one)
    machine.scheduler.remove(gone)
    assert machine.scheduler.overdue(0.9) == []
    assert machine.scheduler.overdue(1.2) == [late]
    assert machine.scheduler.overdue(9.9) == [later]
    assert machine.scheduler.overdue(9.9) == []


def test_an_id_is_taken_until_its_request_has_ended() -> None:
    machine = Machine()
    machine.run(first := sequence("x"))
    with pytest.raises(EngineError, match="id x"):
        machine.scheduler.submit(sequence("x"))
    machine.scheduler.remove(first)
    machine.scheduler.submit(sequence("x"))
    assert machine.scheduler.find("x") is not first
