"""What the library keeps, selected by name, version and alias beside what lies in the folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from support.peft_folders import Shape, peft_source, write_base

from edgelora.adapters.adding import Source, add
from edgelora.adapters.library import AdapterLibrary
from edgelora.adapters.store.manifest import Card
from edgelora.adapters.store.store import AdapterStore
from edgelora.errors import AdapterError, ConversionError, UnknownAdapterError, UsageError
from edgelora.gguf.hashes import file_sha256
from edgelora.types import Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeAdapter


@pytest.fixture
def store(library: AdapterLibrary) -> AdapterStore:
    return AdapterStore(library.folder)


@pytest.fixture
def keep(store: AdapterStore, base: Path, tmp_path: Path, make_adapter: MakeAdapter) -> Callable[..., str]:
    """Add a new adapter under a name; its hash."""

    def kept(name: str, seed: int, card: Card | None = None, **shape: int) -> str:
        path = make_adapter(tmp_path / "made" / f"{name}-{seed}.gguf", seed=seed, **shape)
        return add(store, name, Source((str(path),), base, must_fit=False), card or Card())[0].sha256

    return kept


def test_names_versions_aliases_and_mixtures_mean_files(
    library: AdapterLibrary, store: AdapterStore, keep: Callable[..., str]
) -> None:
    one, two, other = keep("legal", 1), keep("legal", 2), keep("medical", 3)
    store.alias("law", "legal@1")
    for text, members in {
        "legal": {Member(two)},
        "legal@1": {Member(one)},
        "law": {Member(one)},
        "legal:0.5+medical@1": {Member(two, 0.5), Member(other)},
        "law:0.5+legal:0.25": {Member(one, 0.5), Member(two, 0.25)},
    }.items():
        selection, files = library.resolve(text)
        assert set(selection.members) == members, text
        assert all(file_sha256(file.path) == file.sha256 for file in files)
    assert [file.name for file in library.resolve("law+legal")[1]] == ["legal@1", "legal@2"]
    with pytest.raises(UsageError, match="named twice"):
        library.resolve("legal+legal@2")


def test_a_pin_is_seen_at_the_next_resolution_and_by_who_watches(
    library: AdapterLibrary, store: AdapterStore, keep: Callable[..., str]
) -> None:
    one, two = keep("legal", 1), keep("legal", 2)
    assert library.resolve("legal")[0].adapters == (two,)
    library.has_changed()
    assert not library.has_changed()
    store.pin("legal@1")
    assert library.resolve("legal")[0].adapters == (one,)
    assert library.has_changed()
    assert not library.has_changed()
    store.rollback("legal")
    assert library.has_changed()
    library.refresh()
    assert library.by_hash(two) is not None


def test_what_was_resolved_is_not_removed_while_it_is_used(
    library: AdapterLibrary, store: AdapterStore, keep: Callable[..., str]
) -> None:
    one = keep("legal", 1)
    _, (file,) = library.resolve("legal")
    with pytest.raises(AdapterError, match="in use"):
        store.remove("legal")
    assert file.path.exists()
    library.release(one)
    store.remove("legal")
    assert not file.path.exists()
    with pytest.raises(UnknownAdapterError, match="'legal'"):
        library.resolve("legal")


def test_an_entry_says_where_it_is_from_and_what_its_card_says(
    library: AdapterLibrary, store: AdapterStore, keep: Callable[..., str], tmp_path: Path
) -> None:
    keep("legal", 1, Card("Clauses", ("Draft it",), {"temperature": 0.2}))
    store.alias("law", "legal")
    (entry,) = library.entries
    assert (entry.name, entry.version, entry.full_name, entry.aliases) == ("legal", 1, "legal@1", ("law",))
    assert (entry.description, entry.example_prompt, entry.sampling) == ("Clauses", "Draft it", {"temperature": 0.2})
    assert entry.source == str(tmp_path / "made" / "legal-1.gguf")
    assert entry.added > 0
    assert (entry.rank, entry.targets, entry.usable) == (2, ("attn_q",), True)


def test_other_versions_are_listed_once_somebody_wants_them(library: AdapterLibrary, keep: Callable[..., str]) -> None:
    one = keep("legal", 1)
    keep("legal", 2)
    assert [entry.name for entry in library.entries] == ["legal"]
    library.resolve("legal@1")
    assert [(entry.name, entry.full_name) for entry in library.entries] == [
        ("legal", "legal@2"),
        ("legal@1", "legal@1"),
    ]
    found = library.by_hash(one)
    assert found is not None
    assert found.name == "legal@1"


def test_names_of_the_library_come_first(
    library: AdapterLibrary, store: AdapterStore, keep: Callable[..., str], make_adapter: MakeAdapter
) -> None:
    make_adapter(library.folder / "legal.gguf", seed=5)
    make_adapter(library.folder / "law.gguf", seed=6)
    one = keep("legal", 1)
    store.alias("law", "legal")
    library.refresh()
    assert [entry.name for entry in library.entries] == ["legal", "law-2", "legal-2"]
    assert library.named("legal").sha256 == library.named("law").sha256 == one


def test_only_the_library_has_versions(
    library: AdapterLibrary, keep: Callable[..., str], make_adapter: MakeAdapter
) -> None:
    make_adapter(library.folder / "mine.gguf")
    keep("legal", 1)
    with pytest.raises(UnknownAdapterError, match="'mine@1'") as folder:
        library.resolve("mine@1")
    assert folder.value.hint == "Only the library has versions: use mine."
    with pytest.raises(UnknownAdapterError, match="'legal@2'") as kept:
        library.resolve("legal@2")
    assert "adapters info legal" in kept.value.hint


def test_a_damaged_manifest_is_said_at_the_start_and_outlived_later(
    library: AdapterLibrary, store: AdapterStore, base: Path, keep: Callable[..., str]
) -> None:
    one = keep("legal", 1)
    library.refresh()
    (store.folder / "library.json").write_text("{")
    assert library.resolve("legal")[0].adapters == (one,)
    with pytest.raises(AdapterError, match=r"library\.json is damaged"):
        AdapterLibrary(base, folder=library.folder).refresh()


def test_a_missing_file_is_said_in_the_list(
    library: AdapterLibrary, store: AdapterStore, keep: Callable[..., str]
) -> None:
    path = store.path(keep("legal", 1))
    away = shutil.move(path, path.with_suffix(".away"))
    library.refresh()
    assert library.entries[0].problem == "its file is missing from the library; add it again"
    shutil.move(away, path)
    library.refresh()
    assert library.entries[0].usable


def test_an_adapter_for_another_base_is_kept_and_says_so(library: AdapterLibrary, keep: Callable[..., str]) -> None:
    keep("other", 1, width=16)
    (entry,) = library.entries
    assert "16 inputs, the base 8" in (entry.problem or "")


def test_an_adapter_for_another_base_is_refused_where_a_base_was_named(
    store: AdapterStore, base: Path, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    path = make_adapter(tmp_path / "other.gguf", width=16)
    with pytest.raises(ConversionError, match="16"):
        add(store, "other", Source((str(path),), base))
    assert store.read().adapters == {}
    assert not list((store.folder / "incoming").iterdir())


def test_the_report_of_a_conversion_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = write_base(tmp_path / "tiny.gguf", Shape())
    source = peft_source(Shape()).save(tmp_path / "mine")
    added, converted = add(AdapterStore(tmp_path), "mine", Source((str(source),), base))
    assert converted is not None
    library = AdapterLibrary(base, folder=tmp_path, demo=tmp_path / "none")
    report = library.report("mine@1")
    assert report is not None
    assert (report["sha256"], report["n_pairs"]) == (added.sha256, converted.n_pairs)
