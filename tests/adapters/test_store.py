"""The library on disk: names, versions, pins, roll-back, aliases, what is in use, and damage from outside."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.stores import put, state

from edgelora.adapters.store import changes
from edgelora.adapters.store.locking import Holds, unused
from edgelora.adapters.store.manifest import Card, Manifest, Origin, Version, parse, to_text
from edgelora.adapters.store.store import AdapterStore
from edgelora.errors import AdapterError, EdgeloraError, UnknownAdapterError, UsageError


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    return AdapterStore(tmp_path)


def test_versions_follow_one_another_and_the_last_is_current(store: AdapterStore) -> None:
    assert [put(store, "legal", text).number for text in ("one", "two", "three")] == [1, 2, 3]
    manifest = store.read()
    assert manifest.find("legal") == ("legal", 3)
    assert manifest.find("legal@1") == ("legal", 1)
    assert manifest.find("legal@4") is None
    assert store.path(manifest.version("legal", 1).sha256).read_bytes() == b"one"


def test_a_restart_finds_everything(store: AdapterStore, tmp_path: Path) -> None:
    put(store, "legal", "one", report={"n_pairs": 3})
    put(store, "legal", "two")
    store.alias("law", "legal@1")
    again = AdapterStore(tmp_path)
    assert again.read() == store.read()
    assert again.report(again.read().version("legal", 1).sha256) == {"n_pairs": 3}
    assert again.report(again.read().version("legal", 2).sha256) is None


def test_pin_and_rollback_go_through_what_was_current(store: AdapterStore) -> None:
    for text in ("one", "two", "three"):
        put(store, "legal", text)
    store.pin("legal@1")
    assert [store.rollback("legal") for _ in range(3)] == [3, 2, 1]
    with pytest.raises(AdapterError, match="nothing was current before"):
        store.rollback("legal")
    store.pin("legal@1")  # it is so already
    with pytest.raises(AdapterError, match="nothing was current before"):
        store.rollback("legal")


def test_the_same_bytes_are_one_version_and_current_again(store: AdapterStore) -> None:
    put(store, "legal", "one")
    put(store, "legal", "two")
    added = put(store, "legal", "one")
    assert (added.number, added.is_new) == (1, False)
    assert store.read().find("legal") == ("legal", 1)
    assert put(store, "legal", "four").number == 3


def test_a_card_stays_with_the_name(store: AdapterStore) -> None:
    put(store, "legal", "one", card=Card("Clauses", ("Draft it",), {"temperature": 0.2}))
    put(store, "legal", "two", card=Card(sampling={"top_k": 5}))
    card = store.read().adapters["legal"].card
    assert card == Card("Clauses", ("Draft it",), {"temperature": 0.2, "top_k": 5})


def test_aliases_follow_a_name_or_stay_with_a_version(store: AdapterStore) -> None:
    put(store, "legal", "one")
    store.alias("law", "legal")
    store.alias("old", "legal@1")
    store.alias("older", "old")
    put(store, "legal", "two")
    manifest = store.read()
    assert [manifest.find(alias) for alias in ("law", "old", "older")] == [("legal", 2), ("legal", 1), ("legal", 1)]
    with pytest.raises(AdapterError, match="law, old, older are aliases"):
        store.remove("legal")
    with pytest.raises(AdapterError, match="is an alias of legal"):
        put(store, "law", "three")
    with pytest.raises(AdapterError, match="is the name of an adapter"):
        store.alias("legal", "legal@1")
    for alias in ("law", "old", "older"):
        store.unalias(alias)
    store.remove("legal")
    assert store.read().adapters == {}


def test_a_path_that_is_no_text_is_kept(store: AdapterStore) -> None:
    made = Version("0" * 64, 1, Origin(os.fsdecode(b"w\xff/\xc3\xa9.gguf"), 1.0))
    manifest, _, _ = changes.with_version(Manifest(), "legal", made, Card())
    text = to_text(manifest).encode()
    assert parse(text.decode()) == manifest
    assert "é" in text.decode()  # people read it


@pytest.mark.parametrize("number", ["01", "\u0661", " 1", "1_", "+1", "9" * 5000])
def test_a_version_has_one_spelling(store: AdapterStore, number: str) -> None:
    put(store, "legal", "one")
    put(store, "legal", "two")
    with pytest.raises(UnknownAdapterError, match="no version"):
        store.alias("law", f"legal@{number}")
    store.remove("legal@1")
    assert store.read().find("legal") == ("legal", 2)


def test_removing_takes_the_file_unless_another_name_has_it(store: AdapterStore) -> None:
    first = put(store, "legal", "same")
    put(store, "law", "same")
    store.remove("legal")
    assert store.path(first.sha256).exists()
    store.remove("law")
    assert not store.path(first.sha256).exists()
    assert store.strays() == ()


def test_the_current_version_of_several_is_not_removed(store: AdapterStore) -> None:
    put(store, "legal", "one")
    put(store, "legal", "two")
    with pytest.raises(AdapterError, match="current version") as caught:
        store.remove("legal@2")
    assert "pin legal@1" in caught.value.hint
    store.remove("legal@1")
    assert list(store.read().adapters["legal"].versions) == [2]
    assert put(store, "legal", "three").number == 3


def test_what_is_in_use_is_not_removed(store: AdapterStore) -> None:
    added = put(store, "legal", "one")
    holds = Holds()
    assert holds.hold(store.path(added.sha256))
    with pytest.raises(AdapterError, match="in use"):
        store.remove("legal")
    assert store.read().find("legal") == ("legal", 1)
    holds.release(store.path(added.sha256))
    store.remove("legal")
    assert not holds.hold(store.path(added.sha256))


def test_a_removal_that_was_stopped_stops_nobody(store: AdapterStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path, holds = store.path(put(store, "legal", "one").sha256), Holds()
    monkeypatch.setattr("edgelora.adapters.store.locking.PATIENCE_S", 0)
    with unused(path):
        assert not holds.hold(path)
    assert holds.hold(path)


def test_who_uses_it_is_said_where_the_system_tells(
    store: AdapterStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path(put(store, "legal", "one").sha256)
    lines = [
        f"1: FLOCK  ADVISORY  READ 4321 00:2b:{path.stat().st_ino} 0 EOF",
        f"2: FLOCK  ADVISORY  READ 0 00:2b:{path.stat().st_ino} 0 EOF",  # of another container
        "3: POSIX  ADVISORY  WRITE 99 00:2b:1 0 EOF",
        f"3: -> FLOCK  ADVISORY  WRITE 98 00:2b:{path.stat().st_ino} 0 EOF",
    ]
    (tmp_path / "locks").write_text("\n".join(lines))
    monkeypatch.setattr("edgelora.adapters.store.locking._LOCKS", tmp_path / "locks")
    holds = Holds()
    holds.hold(path)
    with pytest.raises(AdapterError, match=r"in use by process 4321\n"):
        store.remove("legal")


@pytest.mark.parametrize("ref", ["leagl", "legal@7", "legal@x", "@1"])
def test_what_is_not_there_is_said_with_what_is(store: AdapterStore, ref: str) -> None:
    put(store, "legal", "one")
    with pytest.raises(UnknownAdapterError) as caught:
        store.pin(ref)
    assert "legal" in caught.value.hint or "only version 1" in caught.value.hint


@pytest.mark.parametrize("name", ["Legal", "base", "auto", "a/b", "legal@2", "x.gguf", ""])
def test_what_is_no_name_is_refused(store: AdapterStore, name: str) -> None:
    with pytest.raises(UsageError, match="no adapter name"):
        put(store, name, "one")
    assert state(store) == {}


def test_two_stores_on_one_folder_see_each_other(store: AdapterStore, tmp_path: Path) -> None:
    other = AdapterStore(tmp_path)
    assert not other.has_changed()
    put(store, "legal", "one")
    assert other.has_changed()
    assert not other.has_changed()
    assert put(other, "legal", "two").number == 2
    assert store.read().find("legal") == ("legal", 2)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "adapters": {"../x": 1}}',
        "null",
        '{"format": 1, "adapters": {"x": {"versions": {}, "current": 1e999, "card": {}}}}',
    ],
)
def test_a_damaged_manifest_says_what_to_do_and_nothing_is_lost(store: AdapterStore, damage: str) -> None:
    first = put(store, "legal", "one")
    store.alias("law", "legal")
    manifest = store.folder / "library.json"
    manifest.write_text(damage)
    with pytest.raises(AdapterError, match="is damaged") as caught:
        put(store, "legal", "two")
    assert store.path(first.sha256).read_bytes() == b"one"
    before = store.folder / "library.before.json"
    assert caught.value.hint.endswith(f"cp '{before}' '{manifest}'")
    manifest.write_bytes(before.read_bytes())
    assert state(store) == {"legal@1": b"one"}
    assert put(store, "legal", "two").number == 2


@pytest.mark.parametrize("wrong", [{"added": None}, {"added": 1e300}, {"added": float("nan")}, {"commit": 7}])
def test_an_origin_that_cannot_be_shown_is_damage(store: AdapterStore, wrong: dict[str, object]) -> None:
    put(store, "legal", "one")
    manifest = store.folder / "library.json"
    raw = json.loads(manifest.read_text())
    raw["adapters"]["legal"]["versions"]["1"]["origin"] |= wrong
    manifest.write_text(json.dumps(raw))
    with pytest.raises(AdapterError, match="is damaged"):
        store.read()


def test_a_lost_manifest_is_no_empty_library(store: AdapterStore) -> None:
    put(store, "legal", "one")
    (store.folder / "library.json").unlink()
    with pytest.raises(AdapterError, match="is missing"):
        store.read()


def test_a_file_that_the_manifest_before_did_not_know_can_be_added_again(store: AdapterStore) -> None:
    put(store, "legal", "one")
    added = put(store, "legal", "two")
    manifest = store.folder / "library.json"
    manifest.write_bytes((store.folder / "library.before.json").read_bytes())
    put(store, "other", "three")
    assert store.strays() == (store.path(added.sha256),)
    assert put(store, "legal", "two").number == 2
    assert store.strays() == ()


def test_every_change_removes_what_a_killed_one_was_adding(store: AdapterStore) -> None:
    put(store, "legal", "one")
    with store.incoming() as own:
        left = own.parent / "of-a-killed-process"
        left.mkdir()
        (left / "adapter.gguf").write_text("half")
        store.alias("law", "legal")
        assert (own.is_dir(), left.exists()) == (True, False)
    own.parent.rmdir()
    store.unalias("law")


def test_a_stray_file_is_left_alone(store: AdapterStore) -> None:
    put(store, "legal", "one")
    stray = store.folder / "files" / "mine.gguf"
    stray.write_bytes(b"mine")
    put(store, "legal", "two")
    store.remove("legal@1")
    assert stray.read_bytes() == b"mine"
    assert store.strays() == (stray,)


def test_a_damaged_or_missing_file_is_whole_again_when_it_is_added_again(store: AdapterStore) -> None:
    added = put(store, "legal", "one")
    store.path(added.sha256).write_bytes(b"on")
    put(store, "legal", "one")
    assert store.path(added.sha256).read_bytes() == b"one"
    store.path(added.sha256).unlink()
    put(store, "legal", "one")
    assert store.path(added.sha256).read_bytes() == b"one"


def test_a_later_format_is_not_touched(store: AdapterStore) -> None:
    put(store, "legal", "one")
    manifest = store.folder / "library.json"
    text = json.dumps(json.loads(manifest.read_text()) | {"format": 2, "new": True})
    manifest.write_text(text)
    with pytest.raises(AdapterError, match="later version of edgelora"):
        put(store, "legal", "two")
    assert manifest.read_text() == text


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / ".library").write_text("a file")
    with pytest.raises(AdapterError, match="cannot be"):
        put(AdapterStore(tmp_path), "legal", "one")


NAMES = st.sampled_from(["legal", "law", "medical"])
REFS = NAMES | st.builds("{}@{}".format, NAMES, st.integers(1, 4))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NAMES, st.sampled_from("abc")),
        st.tuples(st.sampled_from(["pin", "rollback", "remove"]), REFS, st.just("")),
        st.tuples(st.just("alias"), NAMES, REFS),
        st.tuples(st.just("unalias"), NAMES, st.just("")),
    ),
    max_size=12,
)


def changed(manifest: Manifest, step: tuple[str, str, str]) -> Manifest:
    kind, name, what = step
    if kind == "add":
        version = Version(what.encode().hex().ljust(64, "0"), 1, Origin("here", 0.0))
        return changes.with_version(manifest, name, version, Card())[0]
    if kind == "rollback":
        return changes.rolled_back(manifest, name)[0]
    if kind == "alias":
        return changes.with_alias(manifest, name, what)
    return {"pin": changes.pinned, "remove": changes.without, "unalias": changes.without_alias}[kind](manifest, name)


@given(STEPS)
def test_whatever_is_done_the_manifest_can_be_read_again(steps: list[tuple[str, str, str]]) -> None:
    """Or it is refused in words, and nothing has changed."""
    manifest = Manifest()
    for step in steps:
        with suppress(EdgeloraError):
            manifest = changed(manifest, step)
        assert parse(to_text(manifest)) == manifest
        assert not manifest.adapters.keys() & manifest.aliases.keys()
