"""The adapter folder while files come and go."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from edgelora.adapters.library import AdapterLibrary

if TYPE_CHECKING:
    from pathlib import Path


def names(library: AdapterLibrary) -> list[str]:
    return [entry.name for entry in library.refresh()]


def test_a_file_is_listed_once_it_has_stopped_growing(tmp_path: Path, demo_base: Path) -> None:
    legal = (demo_base.parent / "adapters" / "legal.gguf").read_bytes()
    library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path / "none")
    assert not library.has_changed()
    copied = tmp_path / "legal.gguf"
    for end in (1000, 50_000, len(legal)):
        copied.write_bytes(legal[:end])
        assert not library.has_changed()
        assert names(library) == []
    assert library.has_changed()
    assert names(library) == ["legal"]
    assert library.entries[0].usable
    assert not library.has_changed()


def test_a_replaced_file_is_new_content_and_a_removed_one_goes(tmp_path: Path, demo_base: Path) -> None:
    source = demo_base.parent / "adapters"
    shutil.copy(source / "legal.gguf", tmp_path / "mine.gguf")
    library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path / "none")
    before = library.refresh()[0].sha256
    shutil.copy(source / "medical.gguf", tmp_path / "mine.gguf")
    assert not library.has_changed()
    assert library.has_changed()
    assert library.refresh()[0].sha256 != before
    (tmp_path / "mine.gguf").unlink()
    assert library.has_changed()
    assert names(library) == []


def test_folders_that_come_with_the_folder_itself_and_in_pieces(tmp_path: Path, demo_base: Path) -> None:
    library = AdapterLibrary(demo_base, folder=tmp_path / "adapters", demo=tmp_path / "none")
    assert not library.has_changed()
    peft = tmp_path / "adapters" / "peft"
    peft.mkdir(parents=True)
    (peft / "adapter_config.json").write_text("{}")
    assert not library.has_changed()
    (peft / "adapter_model.safetensors").write_bytes(bytes(100))
    assert not library.has_changed()
    assert names(library) == []
    assert library.has_changed()
    assert names(library) == ["peft"]
    (tmp_path / "adapters" / ".hidden.gguf").touch()
    assert not library.has_changed()
    assert not library.has_changed()


def test_another_base_sees_the_same_adapters(tmp_path: Path, demo_base: Path) -> None:
    shutil.copy(demo_base.parent / "adapters" / "legal.gguf", tmp_path / "a.gguf")
    explicit = shutil.copy(demo_base.parent / "adapters" / "medical.gguf", tmp_path / "elsewhere")
    library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path / "none")
    library.add(tmp_path / explicit)
    assert names(library.for_base(demo_base)) == names(library)
