"""What the picker's keys make of a selection before Enter applies it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelora.adapters.selection import MemberText, format_selection, parse_selection
from edgelora.tui.picks import MAX_SCALE, Draft, pick_label

NAMES = st.sampled_from(["legal", "medical", "coding", "base"])
KEYS = st.lists(
    st.tuples(st.sampled_from(["mix", "up", "down"]), NAMES),
    max_size=30,
)


def drafted(active: tuple[MemberText, ...] = ()) -> Draft:
    draft = Draft()
    draft.begin(active)
    return draft


def press(draft: Draft, keys: list[tuple[str, str]]) -> None:
    for key, name in keys:
        draft.toggle(name) if key == "mix" else draft.rescale(name, 1 if key == "up" else -1)


@given(KEYS, NAMES)
def test_whatever_was_pressed_is_a_selection_that_can_be_written_and_read(
    keys: list[tuple[str, str]], highlighted: str
) -> None:
    draft = drafted((MemberText("legal"), MemberText("medical", 0.3)))
    press(draft, keys)
    pick = draft.result(highlighted)
    assert parse_selection(format_selection(pick)) == pick
    assert all(0 <= member.scale <= MAX_SCALE for member in pick)


@given(KEYS, NAMES)
def test_without_a_mixture_enter_takes_the_highlighted_one_alone(keys: list[tuple[str, str]], highlighted: str) -> None:
    draft = drafted((MemberText("legal"),))
    press(draft, [key for key in keys if key[0] != "mix"])
    assert [member.ref for member in draft.result(highlighted)] == ([] if highlighted == "base" else [highlighted])


@given(st.lists(st.sampled_from(["legal", "medical", "coding"])))
def test_space_puts_in_and_takes_out(toggled: list[str]) -> None:
    draft = drafted()
    press(draft, [("mix", name) for name in toggled])
    odd = {name for name in toggled if toggled.count(name) % 2}
    if toggled:
        assert {member.ref for member in draft.result("base")} == odd
    assert all(draft.marked(name) == (name in odd) for name in ("legal", "medical", "coding"))


def test_scales_move_in_tenths_and_end_at_zero_and_two() -> None:
    draft = drafted()
    seen = []
    for _ in range(25):
        draft.rescale("legal", -1)
        seen.append(draft.scale_of("legal"))
    assert seen[:3] == [0.9, 0.8, 0.7]
    assert seen[9:] == [0.0] * 16
    for _ in range(25):
        draft.rescale("legal", 1)
    assert draft.scale_of("legal") == MAX_SCALE


def test_a_scale_changed_inside_a_mixture_keeps_the_mixture() -> None:
    draft = drafted((MemberText("legal"), MemberText("medical", 0.3)))
    draft.rescale("medical", 1)
    assert draft.result("medical") == (MemberText("legal"), MemberText("medical", 0.4))


def test_labels() -> None:
    assert pick_label(()) == "base"
    assert pick_label((MemberText("legal", 0.7), MemberText("medical"))) == "legal 0.7 + medical"
