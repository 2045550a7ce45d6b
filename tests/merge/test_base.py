"""A base of one file and of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.peft_folders import Shape, peft_source, write_base
from support.raw_gguf import encode
from support.split_gguf import split_entries, split_gguf
from support.streaming import tensors_of

from edgelora.errors import GGUFError
from edgelora.gguf.data import raw_bytes
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.reader import read_header
from edgelora.merge.base import read_base
from edgelora.merge.merge import merge
from edgelora.merge.options import MergeMember, Options
from edgelora.native.model import Model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def parts(demo_base: Path, tmp_path: Path) -> list[Path]:
    return split_gguf(demo_base, tmp_path, 3)


def test_the_parts_are_what_llama_cpp_reads(parts: list[Path], demo_base: Path) -> None:
    with Model(parts[0]) as split, Model(demo_base) as whole:
        assert split.n_params == whole.n_params


@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_split_base_is_the_whole_one(parts: list[Path], given: int, demo_base: Path) -> None:
    split, whole = read_base(parts[given]), read_base(demo_base)
    assert [part.path for part in split.parts] == parts
    assert list(split.tensors) == list(whole.tensors)
    for name, tensor in split.tensors.items():
        assert np.array_equal(tensor.rows(0, tensor.n_rows), whole.tensors[name].rows(0, tensor.n_rows))
    assert list(split.metadata_entries()) == list(whole.metadata_entries())
    assert split.path == parts[0]
    of_split, of_whole = BaseFacts.of(split.header), BaseFacts.of(whole.header)
    assert (of_split.n_params, of_split.tied, of_split.n_layers) == (
        of_whole.n_params,
        of_whole.tied,
        of_whole.n_layers,
    )
    assert of_split.file_size == sum(path.stat().st_size for path in parts)


def test_a_peft_folder_on_a_split_base_is_that_on_the_whole_one(tmp_path: Path) -> None:
    shape = Shape()
    whole = write_base(tmp_path / "base.gguf", shape)
    folder = peft_source(shape).save(tmp_path / "peft")
    parts, outs = split_gguf(whole, tmp_path, 3), (tmp_path / "of-whole.gguf", tmp_path / "of-parts.gguf")
    options = Options("f16", verify=False, threads=1)
    for base, out in zip((whole, parts[1]), outs, strict=True):
        assert merge(base, [MergeMember(folder)], out, options).kinds
    assert tensors_of(outs[0]) == tensors_of(outs[1]) != tensors_of(whole)


def test_rows_are_the_bytes_of_the_file(demo_base: Path) -> None:
    header, base = read_header(demo_base), read_base(demo_base)
    tensor = base.tensors["blk.1.ffn_down.weight"]
    everything = raw_bytes(header, tensor.info).reshape(tensor.n_rows, -1)
    assert np.array_equal(tensor.rows(5, 7), everything[5:12])


def test_metadata_entries_are_the_bytes_of_the_file(demo_base: Path) -> None:
    entries = list(read_base(demo_base).metadata_entries())
    assert [key for key, _ in entries] == list(read_header(demo_base).metadata)
    assert demo_base.read_bytes()[24:].startswith(b"".join(raw for _, raw in entries))


def test_missing_parts_are_named(parts: list[Path]) -> None:
    parts[1].unlink()
    with pytest.raises(GGUFError, match=f"parts of this split model are missing: {parts[1].name}"):
        read_base(parts[0])


def test_a_renamed_part_is_refused(parts: list[Path]) -> None:
    renamed = parts[0].rename(parts[0].with_name("model.gguf"))
    with pytest.raises(GGUFError, match=r"part 1 of 3 .* name does not say so\n.*-00001-of-00003\.gguf"):
        read_base(renamed)


def test_a_part_in_the_place_of_another_is_refused(parts: list[Path]) -> None:
    parts[2].write_bytes(parts[1].read_bytes())
    with pytest.raises(GGUFError, match="it says that it is part 2 of 3, expected 3 of 3"):
        read_base(parts[0])


def test_a_whole_model_in_the_place_of_a_part_is_refused(parts: list[Path], demo_base: Path) -> None:
    parts[1].write_bytes(demo_base.read_bytes())
    with pytest.raises(GGUFError, match="part 1 of 1, expected 2 of 3"):
        read_base(parts[0])


def test_a_part_that_repeats_a_tensor_is_refused(parts: list[Path], demo_base: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = split_gguf(demo_base, tmp_path / "other", 2)
    raw = other[1].read_bytes()
    before, after = (b"".join(kv.encoded() for kv in split_entries(*where, 1)) for where in ((1, 2), (1, 3)))
    parts[1].write_bytes(raw.replace(before[: before.index(b"split.tensors")], after[: after.index(b"split.tensors")]))
    with pytest.raises(GGUFError, match=r"is in .*-of-00003\.gguf too"):
        read_base(parts[0])


def test_a_part_without_its_tensors_is_refused(parts: list[Path]) -> None:
    parts[2].write_bytes(encode(tuple(split_entries(2, 3, 0))))
    with pytest.raises(GGUFError, match=r"its parts hold \d+ tensors, \d+ are announced"):
        read_base(parts[0])


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.gguf").write_bytes(encode())
    with pytest.raises(GGUFError, match="holds no tensors"):
        read_base(tmp_path / "vocabulary.gguf")


def test_a_base_that_is_cut_off_meanwhile_is_an_error(demo_base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "base.gguf"
    copy.write_bytes(demo_base.read_bytes())
    last = list(read_base(copy).tensors.values())[-1]
    copy.write_bytes(demo_base.read_bytes()[:-5000])
    with pytest.raises(GGUFError, match=f"the file ends within {last.name}"):
        last.rows(0, last.n_rows)
