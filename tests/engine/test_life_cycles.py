"""Whatever is asked of an engine, in whatever order: everything ends exactly once, and everything is given back."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, pool_bytes, selection

from edgelora.engine.core import EngineCore
from edgelora.engine.waiting import PATIENCE
from edgelora.errors import MemoryLimitError
from edgelora.types import BASE, AdapterFile, Event, Failed, Finished, Request, Selection, Started, Token

PLACES, MAX_WAITING, N_ADAPTERS = 3, 5, 4
CLIENTS = ("", "", "a", "b")


class LifeCycles(RuleBasedStateMachine):
    """Commands between steps, as a client would send them; decodes fail now and then."""

    base: Path
    adapters: list[AdapterFile]

    def __init__(self) -> None:
        super().__init__()
        rows = pool_bytes(self.base, 16)  # two of the four adapters fit
        self.core = EngineCore(
            exact_config(self.base, ctx=128, max_sequences=PLACES, max_waiting=MAX_WAITING, adapter_bytes=rows)
        )
        for adapter in self.adapters:
            self.core.load(adapter)
        self.core.step()
        self.n_submitted = 0
        self.started: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.real_decode = self.core._context.decode

    # --- what may happen

    @rule(
        which=st.lists(st.integers(0, N_ADAPTERS - 1), max_size=2, unique=True),
        length=st.sampled_from((1, 7, 40, 90, 128)),
        answer=st.sampled_from((0, 1, 8, 60)),
        client=st.sampled_from(CLIENTS),
        hurry=st.booleans(),
    )
    def submit(self, which: list[int], length: int, answer: int, client: str, hurry: bool) -> None:
        deadline_s = 0.0 if hurry and which else None
        self.core.submit(replace(self.request(which, length, answer), client=client, deadline_s=deadline_s))

    @rule(which=st.lists(st.integers(0, N_ADAPTERS - 1), min_size=1, max_size=2, unique=True))
    def warm(self, which: list[int]) -> None:
        """It takes long, and is in the way of most others."""
        self.core.submit(replace(self.request(which, 40, 60), background=True))
        for _ in range(3):
            self.note(self.core.step())

    @precondition(lambda self: self.n_submitted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.core.cancel(f"r{data.draw(st.integers(max(1, self.n_submitted - 3), self.n_submitted))}")

    @rule(n_steps=st.integers(1, 6))
    def step(self, n_steps: int) -> None:
        for _ in range(n_steps):
            self.note(self.core.step())

    @rule()
    def fail(self) -> None:
        """The next batch is not computed."""
        self.core._context.decode = lambda batch: -3  # type: ignore[method-assign]
        try:
            self.note(self.core.step())
        finally:
            self.core._context.decode = self.real_decode  # type: ignore[method-assign]

    @rule(which=st.integers(0, N_ADAPTERS - 1))
    def evict(self, which: int) -> None:
        users = self.core.residency._users[self.adapters[which].sha256]
        assert self.core.evict(self.adapters[which].sha256) == (users == 0)

    @rule(which=st.integers(0, N_ADAPTERS - 1))
    def begin_loading(self, which: int) -> None:
        with suppress(MemoryLimitError):
            self.core.try_load(self.adapters[which])

    @rule(which=st.integers(0, N_ADAPTERS - 1))
    def register_under_another_name(self, which: int) -> None:
        self.adapters[which] = replace(self.adapters[which], name=f"{self.adapters[which].name}'")

    @rule()
    def purge(self) -> None:
        self.core._purge()

    # --- what must hold

    @invariant()
    def counts_are_right(self) -> None:
        core = self.core
        running = core._scheduler.running
        assert all(n >= 0 for n in core.residency._users.values())
        assert core.residency.n_used == sum(len(sequence.selection.members) for sequence in running)
        slots = [sequence.held for sequence in running]
        assert len({id(slot) for slot in slots}) == len(slots) <= PLACES
        assert {id(slot) for slot in core._kv._slots.values() if slot.in_use} == {id(slot) for slot in slots}
        assert sum(slot.cells for slot in core._kv._slots.values() if slot.in_use) <= core._kv._cells
        assert len(core._scheduler.waiting) <= 2 * (MAX_WAITING + PLACES)

    @invariant()
    def nobody_is_overtaken_for_ever(self) -> None:
        assert all(head.overtaken <= 2 * PATIENCE for head in self.core._scheduler.waiting.in_turn())

    def teardown(self) -> None:
        self.note(drain(self.core))
        assert set(self.ended) == {f"r{i + 1}" for i in range(self.n_submitted)}
        assert not self.ended or set(self.ended.values()) == {1}
        self.counts_are_right()
        assert self.core.residency.n_used == 0
        self.core.close()

    # --- how

    def request(self, which: list[int], length: int, answer: int) -> Request:
        self.n_submitted += 1
        tokens = [300 + (self.n_submitted % 3) * 40 + i for i in range(length)]
        return greedy(f"r{self.n_submitted}", tokens, self.selection(which), answer)

    def selection(self, which: list[int]) -> Selection:
        return selection(*((self.adapters[i], 0.5) for i in which)) if which else BASE

    def note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Started | Token | Finished | Failed):
                assert not self.ended[event.request], "something came after the end"
            if isinstance(event, Started):
                self.started[event.request] += 1
                assert self.started[event.request] == 1
            if isinstance(event, Finished | Failed):
                self.ended[event.request] += 1


@pytest.mark.parametrize(
    "examples", [15, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])], ids=["plain", "full"]
)
def test_life_cycles(f32_base: Path, tmp_path: Path, examples: int) -> None:
    files = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=8, seed=i) for i in range(N_ADAPTERS)]

    class OnThisBase(LifeCycles):
        base = f32_base

        def __init__(self) -> None:
            self.adapters = list(files)
            super().__init__()

    checks = list(HealthCheck)
    run_state_machine_as_test(
        OnThisBase,
        settings=settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=checks),
    )
