from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelora.adapters.naming import MAX_LENGTH, is_name, name_from_stem
from edgelora.adapters.selection import MemberText, format_selection, parse_selection
from edgelora.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = string.ascii_lowercase + string.digits
NAMES = st.builds(str.__add__, st.sampled_from(LETTERS), st.text(LETTERS + "._-", max_size=63)).filter(is_name)
PATHS = st.text(string.ascii_letters + string.digits + ".:@ -_", min_size=1).map(lambda tail: f"no/such/{tail}x.gguf")
SCALES = st.integers(-(10**6), 10**6).map(lambda n: n / 10**4)
VERSIONS = st.builds("{}@{}".format, NAMES, st.integers(1, 10**9 - 1))
MEMBERS = st.lists(
    st.builds(MemberText, NAMES | VERSIONS | PATHS, SCALES), max_size=4, unique_by=lambda member: member.ref
)


@given(MEMBERS.map(tuple))
def test_what_is_written_is_read_back(members: tuple[MemberText, ...]) -> None:
    assert parse_selection(format_selection(members)) == members


@given(st.text(alphabet="ab1:+@./-_ ~é\0Abase", max_size=12))
def test_any_text_is_a_selection_or_a_usage_error(text: str) -> None:
    try:
        members = parse_selection(text)
    except UsageError:
        return
    assert parse_selection(format_selection(members)) == members


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("base", []),
        (" legal ", [MemberText("legal")]),
        ("legal:0.7+medical:0.3", [MemberText("legal", 0.7), MemberText("medical", 0.3)]),
        ("legal:-.5", [MemberText("legal", -0.5)]),
        ("legal:1.00004", [MemberText("legal", 1.0)]),
        ("legal@2", [MemberText("legal@2")]),
        ("legal@002:0.5+legal", [MemberText("legal@2", 0.5), MemberText("legal")]),
        ("./legal:2", [MemberText("./legal", 2.0)]),
        ("mine.gguf:0.5+legal", [MemberText("mine.gguf", 0.5), MemberText("legal")]),
        ("C:\\adapters\\mine.gguf", [MemberText("C:\\adapters\\mine.gguf")]),
    ],
)
def test_forms(text: str, members: list[MemberText]) -> None:
    assert parse_selection(text) == tuple(members)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "missing"),
        ("legal+", "missing"),
        ("auto", "reserved"),
        ("legal+auto", "stands alone|cannot be part"),
        ("base:0.5", "cannot be part"),
        ("base+legal", "cannot be part"),
        ("legal:strong", "'strong'"),
        ("legal:nan", "'nan'"),
        ("legal:1e3", "'1e3'"),
        ("legal@", "no adapter name"),
        ("legal@two", "no adapter name"),
        ("base@2", "cannot be part"),
        ("no/such/folder@3", "version of a path"),
        ("Legal", "no adapter name"),
        ("-legal", "no adapter name"),
        ("x" * (MAX_LENGTH + 1), "no adapter name"),
        ("legal+legal:0.5", "twice"),
    ],
)
def test_refusals_say_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_selection(text)


@pytest.mark.parametrize("name", ["a+b.gguf", "v1:0.5", "x+y:0.25", "tuned@3"])
def test_an_existing_path_needs_no_escape(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    assert parse_selection(str(path)) == (MemberText(str(path)),)
    mixture = (MemberText("legal", 0.5), MemberText(str(path), 0.75), MemberText("medical"))
    assert parse_selection(f"legal:0.5+{path}:0.75+medical") == mixture
    assert parse_selection(format_selection(mixture)) == mixture


@given(st.text(max_size=80), st.sets(NAMES))
def test_every_stem_gives_a_free_name(stem: str, taken: set[str]) -> None:
    first = name_from_stem(stem, taken)
    second = name_from_stem(stem, taken | {first})
    assert is_name(first)
    assert is_name(second)
    assert len({first, second, *taken}) == len(taken) + 2


def test_a_name_stays_itself() -> None:
    assert name_from_stem("legal-v1.5_b") == "legal-v1.5_b"
    assert name_from_stem("My LoRA (final)") == "my-lora-final"
    assert name_from_stem("Mein Löra é") == "mein-lora-e"
