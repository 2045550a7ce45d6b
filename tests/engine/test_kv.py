from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelora.engine.kv import KVStore, Slot, common_prefix
from edgelora.types import BASE, Member, Selection

CELLS, SEQUENCES = 64, 4
SELECTIONS = [BASE, Selection.of([Member("a" * 64)]), Selection.of([Member("a" * 64, 0.5)])]


class Memory:
    """What llama.cpp would hold: for each sequence the tokens and the selection they were computed under."""

    def __init__(self, *, partial: bool = True) -> None:
        self.held: dict[int, list[tuple[int, Selection]]] = {}
        self.partial = partial

    def forget(self, sequence: int, start: int = 0) -> bool:
        if start and not self.partial:
            return False
        self.held[sequence] = self.held.get(sequence, [])[:start]
        return True

    def compute(self, slot: Slot, tokens: list[int]) -> None:
        self.held.setdefault(slot.sequence, []).extend((token, slot.selection) for token in tokens)
        slot.tokens.extend(tokens)


steps = st.lists(
    st.tuples(
        st.sampled_from(SELECTIONS),
        st.lists(st.integers(0, 2), min_size=1, max_size=20),
        st.integers(1, 40),
        st.booleans(),
    ),
    max_size=30,
)


@given(steps=steps, partial=st.booleans())
def test_nothing_is_reused_across_selections_and_room_is_never_exceeded(
    steps: list[tuple[Selection, list[int], int, bool]], partial: bool
) -> None:
    memory = Memory(partial=partial)
    store = KVStore(memory, CELLS, SEQUENCES)
    busy: list[Slot] = []
    for under, tokens, extra, finish in steps:
        slot = store.acquire(under, tokens, len(tokens) + extra, recompute_last=True)
        if slot is None:
            assert busy, "an empty store must have room"
            store.release(busy.pop(0))
            continue
        assert slot not in busy
        assert slot.tokens == tokens[: len(slot.tokens)]
        assert len(slot.tokens) < len(tokens)
        assert memory.held.get(slot.sequence, []) == [(token, under) for token in slot.tokens]
        memory.compute(slot, tokens[len(slot.tokens) :])
        busy.append(slot)
        assert sum(s.cells for s in store._slots.values()) <= CELLS
        assert sum(len(held) for held in memory.held.values()) <= CELLS
        if finish:
            store.release(busy.pop(0))


def test_each_selection_keeps_its_own_conversation() -> None:
    store = KVStore(memory := Memory(), CELLS, SEQUENCES)
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
    store = KVStore(memory := Memory(), CELLS, SEQUENCES)
    long = list(range(20))
    slot = store.acquire(BASE, long, 20, recompute_last=True)
    assert slot is not None
    memory.compute(slot, long)
    store.release(slot)
    other = store.acquire(BASE, [0, 1, 99], 4, recompute_last=True)
    assert other is not slot


def test_a_prefill_may_reuse_everything_and_an_answer_needs_the_last_token() -> None:
    store = KVStore(memory := Memory(), CELLS, SEQUENCES)
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
