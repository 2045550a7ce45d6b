from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from support.kv_model import BYTES, Kind, ModelMemory

from edgelora.engine.kv import KVStore, Slot
from edgelora.engine.parked_folder import ParkedFolder
from edgelora.engine.parking import Parking
from edgelora.engine.shelf import common_prefix
from edgelora.types import BASE, Member, Selection

CELLS, SEQUENCES = 64, 3
SELECTIONS = [BASE, Selection.of([Member("a" * 64)]), Selection.of([Member("a" * 64, 0.5)])]


KINDS: list[Kind] = ["full", "windowed", "recurrent"]

Asked = tuple[Selection, list[int], int, str]

CONVERSATIONS = [[0, 1, 2, 3, *([end] * 16)] for end in range(3)]  # they begin alike
prompts = st.builds(
    lambda conversation, length, more: [*conversation[:length], *more],
    st.sampled_from(CONVERSATIONS),
    st.integers(1, 20),
    st.lists(st.integers(0, 2), max_size=3),
)
requests = st.lists(
    st.tuples(
        st.sampled_from(SELECTIONS),
        prompts,
        st.integers(1, 20),
        st.sampled_from([*["release"] * 9, "catch up", "drop", "empty", "refuse", "nothing"]),
    ),
    min_size=5,
    max_size=30,
)
budgets = st.sampled_from([0, 10 * BYTES, 30 * BYTES, 1000 * BYTES])


@given(requests=requests, kind=st.sampled_from(KINDS), budget=budgets)
def test_what_a_slot_holds_was_computed_under_its_selection_and_room_is_never_exceeded(
    requests: list[Asked], kind: Kind, budget: int
) -> None:
    drive(requests, ModelMemory(kind), Parking(budget), budget)


@settings(max_examples=25)
@given(requests=requests, kind=st.sampled_from(KINDS), on_disk=budgets)
def test_the_same_holds_with_a_folder(requests: list[Asked], kind: Kind, on_disk: int) -> None:
    with TemporaryDirectory() as folder:
        parking = Parking(10 * BYTES, ParkedFolder(Path(folder), "owner", on_disk))
        drive(requests, ModelMemory(kind), parking, 10 * BYTES, on_disk)
        parking.close()


def drive(requests: list[Asked], memory: ModelMemory, parking: Parking, budget: int, on_disk: int = 0) -> None:
    store = KVStore(memory, CELLS, SEQUENCES, parking)
    busy: list[Slot] = []
    for under, tokens, extra, then in requests:
        slot = store.acquire(under, tokens, len(tokens) + extra, recompute_last=True)
        if slot is None:
            assert busy, "an empty store must have room"
            store.release(busy.pop(0))
            continue
        assert slot not in busy
        assert slot.tokens == tokens[: len(slot.tokens)]
        assert len(slot.tokens) < len(tokens)
        busy.append(slot)
        if then == "catch up":
            store.catch_up(slot, tokens)
            assert len(slot.tokens) < len(tokens)
        memory.compute(slot, tokens[len(slot.tokens) :])
        memory.refuses = then == "refuse"
        if then == "release":
            store.release(busy.pop(0))
        if then == "drop":
            store.drop(busy.pop())
        if then == "empty":
            memory.held.clear()
            store.empty()
        check(store, memory, budget, on_disk)


def check(store: KVStore, memory: ModelMemory, budget: int, on_disk: int) -> None:
    slots = store._slots.values()
    for slot in slots:
        assert memory.held.get(slot.sequence, []) == [(token, slot.selection) for token in slot.tokens]
    assert sum(slot.cells for slot in slots) <= CELLS
    assert sorted([*store._free, *store._slots]) == list(range(SEQUENCES))
    assert all(not memory.held.get(sequence) for sequence in store._free)
    assert store.parking.n_bytes <= budget
    assert store.parking.n_bytes_on_disk <= on_disk


def test_each_selection_keeps_its_own_conversation() -> None:
    store = KVStore(memory := ModelMemory(), CELLS, SEQUENCES)
    for under in SELECTIONS:
        slot = store.acquire(under, [1, 2, 3, 4], 6, recompute_last=True)
        assert slot is not None
        assert slot.tokens == []
        memory.compute(slot, [1, 2, 3, 4])
        store.release(slot)
    for under in SELECTIONS:
        slot = store.acquire(under, [1, 2, 3, 4, 5], 8, recompute_last=True)
        assert slot is not None
        assert slot.tokens == [1, 2, 3, 4]
        store.release(slot)


def test_another_conversation_does_not_destroy_a_kept_one() -> None:
    store = KVStore(memory := ModelMemory(), CELLS, SEQUENCES)
    long = list(range(20))
    slot = store.acquire(BASE, long, 20, recompute_last=True)
    assert slot is not None
    memory.compute(slot, long)
    store.release(slot)
    other = store.acquire(BASE, [0, 1, 99], 4, recompute_last=True)
    assert other is not slot


def test_the_conversation_that_a_new_one_shares_with_is_the_last_to_make_room() -> None:
    store = KVStore(memory := ModelMemory(), CELLS, SEQUENCES)
    long = list(range(20))
    for under in SELECTIONS:
        slot = store.acquire(under, long, 20, recompute_last=True)
        assert slot is not None
        memory.compute(slot, long)
        store.release(slot)
    branch = store.acquire(SELECTIONS[0], [*long[:5], 99], 8, recompute_last=True)
    assert branch is not None
    assert branch.tokens == long[:5]


def test_a_prefill_may_reuse_everything_and_an_answer_needs_the_last_token() -> None:
    store = KVStore(memory := ModelMemory(), CELLS, SEQUENCES)
    slot = store.acquire(BASE, [1, 2, 3], 3, recompute_last=False)
    assert slot is not None
    memory.compute(slot, [1, 2, 3])
    store.release(slot)
    for recompute_last, reused in ((False, 3), (True, 2)):
        slot = store.acquire(BASE, [1, 2, 3], 3, recompute_last=recompute_last)
        assert slot is not None
        assert len(slot.tokens) == reused
        store.release(slot)


@given(left=st.lists(st.integers(0, 2)), right=st.lists(st.integers(0, 2)))
def test_common_prefix(left: list[int], right: list[int]) -> None:
    length = common_prefix(left, right)
    assert left[:length] == right[:length]
    assert left[length : length + 1] != right[length : length + 1] or not left[length:] or not right[length:]
