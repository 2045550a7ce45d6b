from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from edgelora.adapters.hashing import FileHashes
from edgelora.errors import AdapterError, AdapterMismatchError, GGUFError, UnknownAdapterError, UsageError
from edgelora.types import BASE, Member

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeAdapter

    from edgelora.adapters.library import AdapterLibrary


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_selection_means_the_bytes_on_disk(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    legal = make_adapter(tmp_path / "adapters" / "legal.gguf", seed=1)
    medical = make_adapter(tmp_path / "demo" / "medical.gguf", seed=2)
    selection, files = library.resolve("legal:0.7+medical:0.3")
    assert set(selection.members) == {Member(sha256(legal), 0.7), Member(sha256(medical), 0.3)}
    assert [(file.name, file.path, file.sha256) for file in files] == [
        ("legal", legal, sha256(legal)),
        ("medical", medical, sha256(medical)),
    ]


def test_the_base_and_scale_zero_need_no_file(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    make_adapter(tmp_path / "adapters" / "legal.gguf")
    assert library.resolve("base") == (BASE, ())
    assert library.resolve("legal:0") == (BASE, ())


def test_an_entry_says_what_it_is(library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter) -> None:
    path = make_adapter(tmp_path / "demo" / "legal.gguf", rank=4, prompt="Write a clause.")
    (entry,) = library.entries
    assert (entry.name, entry.rank, entry.targets) == ("legal", 4, ("attn_q",))
    assert (entry.sha256, entry.n_bytes) == (sha256(path), path.stat().st_size)
    assert entry.example_prompt == "Write a clause."
    assert entry.usable
    assert library.by_hash(sha256(path)) == entry


def test_the_demos_adapters_are_only_offered_where_they_fit(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    make_adapter(tmp_path / "demo" / "legal.gguf", width=16)
    make_adapter(tmp_path / "adapters" / "other.gguf", width=16)
    (entry,) = library.entries
    assert entry.name == "other"
    assert "A takes 16 inputs, the base 8" in (entry.problem or "")
    with pytest.raises(AdapterMismatchError, match="16 inputs"):
        library.resolve("other")


def test_a_broken_file_stays_visible_and_leaves_the_others_alone(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    whole = make_adapter(tmp_path / "adapters" / "a.gguf")
    (tmp_path / "adapters" / "broken.gguf").write_bytes(whole.read_bytes()[:-8])
    make_adapter(tmp_path / "adapters" / "z.gguf", seed=1)
    assert [(entry.name, entry.usable) for entry in library.entries] == [("a", True), ("broken", False), ("z", True)]
    with pytest.raises(GGUFError, match="cut off"):
        library.resolve("broken")


def test_a_base_in_the_adapter_folder_is_no_adapter(library: AdapterLibrary, base: Path, tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    os.link(base, tmp_path / "adapters" / "model.gguf")
    assert "not a LoRA adapter" in (library.entries[0].problem or "")


def test_names_are_unique_and_equal_files_are_listed_once(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    demo = make_adapter(tmp_path / "demo" / "legal.gguf", seed=1)
    make_adapter(tmp_path / "adapters" / "legal.gguf", seed=2)
    os.link(demo, tmp_path / "adapters" / "same.gguf")
    copy = tmp_path / "copy.gguf"
    os.link(demo, copy)
    assert library.add(copy).name == "legal"
    assert [(entry.name, entry.sha256) for entry in library.entries] == [
        ("legal", sha256(demo)),
        ("legal-2", sha256(tmp_path / "adapters" / "legal.gguf")),
    ]


def test_an_adapter_put_there_later_is_found(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    assert library.entries == ()
    path = make_adapter(tmp_path / "adapters" / "late.gguf")
    _, (file,) = library.resolve("late")
    assert file.path == path


def test_a_replaced_file_has_a_new_identity(library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter) -> None:
    path = make_adapter(tmp_path / "adapters" / "legal.gguf", seed=1)
    before, _ = library.resolve("legal")
    make_adapter(path, seed=2)
    os.utime(path, ns=(1, 1))  # the same size, and surely another time
    after, (file,) = library.resolve("legal")
    assert file.sha256 == sha256(path)
    assert before != after


def test_an_unknown_name_names_the_nearest_and_the_folder(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    make_adapter(tmp_path / "adapters" / "legal.gguf")
    with pytest.raises(UnknownAdapterError) as caught:
        library.resolve("leagl")
    assert "'leagl'" in caught.value.message
    assert "Nearest: legal" in caught.value.hint
    assert str(tmp_path / "adapters") in caught.value.hint


def test_an_explicit_path_joins_the_library(library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter) -> None:
    path = make_adapter(tmp_path / "My Adapter.gguf")
    selection, (file,) = library.resolve(f"{path}:0.5")
    assert selection.members == (Member(sha256(path), 0.5),)
    assert file.name == "my-adapter"
    assert [entry.name for entry in library.entries] == ["my-adapter"]
    assert library.resolve("my-adapter")[1] == (file,)


@pytest.mark.parametrize("text", ["{tmp}/none.gguf", "{tmp}", "~nobody-at-all/x.gguf", "{tmp}/" + "x" * 300, "a/\0"])
def test_a_path_without_an_adapter_is_one_clear_error(library: AdapterLibrary, tmp_path: Path, text: str) -> None:
    with pytest.raises(AdapterError, match=r"no such file|no adapter|cannot be read"):
        library.resolve(text.format(tmp=tmp_path))


def test_one_adapter_under_two_names_is_a_usage_error(
    library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter
) -> None:
    path = make_adapter(tmp_path / "adapters" / "legal.gguf")
    with pytest.raises(UsageError, match="named twice"):
        library.resolve(f"legal:0.5+{path}")


def test_unchanged_files_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    hashes = FileHashes()
    first = hashes.of_file(path)
    monkeypatch.setattr("edgelora.adapters.hashing.file_sha256", lambda _: pytest.fail("hashed again"))
    assert hashes.of_file(path) == first == hashlib.sha256(b"one").hexdigest()


def test_a_copy_can_be_named_and_is_listed_once(library: AdapterLibrary, make_adapter: MakeAdapter) -> None:
    first = make_adapter(library.folder / "first.gguf")
    (library.folder / "second.gguf").write_bytes(first.read_bytes())
    assert [entry.name for entry in library.entries if entry.path.parent == library.folder] == ["first"]
    assert library.named("second") == library.named("first")
    assert library.resolve("second") == library.resolve("first")


def test_a_misfit_has_its_path_in_quotes(library: AdapterLibrary, tmp_path: Path, make_adapter: MakeAdapter) -> None:
    """So that who leaves folders out, as the server does, sees where the path ends."""
    wide = make_adapter(tmp_path / "wide.gguf", width=16)
    with pytest.raises(AdapterMismatchError) as caught:
        library.resolve(str(wide))
    assert caught.value.message.startswith(f"wide ('{wide}') does not fit the base {tmp_path}/base.gguf:\n  - ")
