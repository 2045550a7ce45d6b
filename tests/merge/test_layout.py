"""The header of the merged file: what stays byte for byte, what moves, what is added."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from support.split_gguf import split_gguf
from support.streaming import merge, plan, rewrites, rounded, tensors_of, values_of, write

from edgelora.errors import MergeError, QuantizationError
from edgelora.gguf.data import tensor_data
from edgelora.gguf.reader import read_header
from edgelora.merge.base import BaseTensor, read_base
from edgelora.merge.layout import Rewrite, Zeros, plan_layout
from edgelora.merge.metadata import fill_text


def test_nothing_to_do_gives_the_same_file(demo_base: Path, tmp_path: Path) -> None:
    assert merge(demo_base, {}, tmp_path / "out.gguf").read_bytes() == demo_base.read_bytes()


def test_metadata_and_order_are_the_bases(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    out = merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16")
    before, after = read_base(demo_base), read_base(out)
    assert list(after.metadata_entries()) == list(before.metadata_entries())
    assert list(after.tensors) == list(before.tensors)
    touched = {rewrite.tensor.name for rewrite in rewrites(before, {adapters[0]: 1})}
    assert touched
    for name, tensor in after.tensors.items():
        assert tensor.shape == before.tensors[name].shape
        assert tensor.type_name == ("F16" if name in touched else before.tensors[name].type_name)


def test_ggufs_reader_finds_the_same(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    out = merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "Q5_1")
    ours = read_header(out)
    for tensor in GGUFReader(out).tensors:
        info = ours.tensors[tensor.name]
        assert (tensor.data_offset, tensor.n_bytes, tensor.tensor_type.name) == (
            info.offset,
            info.nbytes,
            info.type_name,
        )


@pytest.mark.parametrize("alignment", [1, 8, 64, 4096])
def test_the_alignment_is_the_bases(alignment: int, tmp_path: Path) -> None:
    path = tmp_path / "base.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_custom_alignment(alignment)
    tensors = {name: np.random.default_rng(0).random((3, 33), np.float32) for name in ("a", "b", "c")}
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    for write_part in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write_part()
    writer.close()
    base = read_base(path)
    layout = plan_layout(base, [Rewrite(base.tensors["b"], "F16", None, rounded("F16"))], {})
    out = read_header(write(layout, tmp_path / "out.gguf"))
    assert out.alignment == alignment
    assert all(info.offset % alignment == 0 for info in out.tensors.values())
    assert {info.name: info.offset for info in out.tensors.values()} == {
        tensor.name: tensor.data_offset for tensor in GGUFReader(out.path).tensors
    }
    for name, values in tensors.items():
        np.testing.assert_allclose(tensor_data(out, out.tensors[name]), values, atol=1e-3 if name == "b" else 0)


def test_entries_are_replaced_in_their_place_and_added_behind(demo_base: Path, tmp_path: Path) -> None:
    added = {
        "general__name": "größer",
        "edgelora__merge__scales": (0.5, -2.0),
        "edgelora__merge__adapters": ("a", "ü"),
        "edgelora__merge__tokens": 2048,
        "edgelora__merge__kl": 0.25,
    }
    before = read_base(demo_base)
    out = read_base(write(plan(demo_base, {}, **added), tmp_path / "out.gguf"))
    keys = [key for key, _ in before.metadata_entries()]
    names = [key.replace("__", ".") for key in added]
    assert [key for key, _ in out.metadata_entries()] == keys + names[1:]
    found = GGUFReader(out.path).fields
    assert [found[name].contents() for name in names] == ["größer", [0.5, -2], ["a", "ü"], 2048, 0.25]
    untouched = {key: raw for key, raw in before.metadata_entries() if key != "general.name"}
    assert untouched.items() <= dict(out.metadata_entries()).items()


@pytest.mark.parametrize(("kind", "expected"), [("F16", 1), ("Q8_0", 7), ("Q6_K", 18), (None, 7)])
def test_the_file_type_follows_most_of_the_values(
    kind: str | None, expected: int, demo_base: Path, tmp_path: Path
) -> None:
    base = read_base(demo_base)
    assert base.header.metadata["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q8_0
    whole = [tensor for tensor in base.tensors.values() if tensor.shape[0] % 256 == 0 and len(tensor.shape) == 2]
    stored = [Rewrite(tensor, kind, None, rounded(kind)) for tensor in whole] if kind else []
    out = read_header(write(plan_layout(base, stored, {}), tmp_path / "out.gguf"))
    assert out.metadata["general.file_type"] == expected


def test_a_split_base_becomes_one_file(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    parts = split_gguf(demo_base, tmp_path, 3)
    split = merge(parts[0], {adapters[0]: 1}, tmp_path / "split.gguf", "F16")
    whole = merge(demo_base, {adapters[0]: 1}, tmp_path / "whole.gguf", "F16")
    assert split.read_bytes() == whole.read_bytes()


def test_tensors_that_the_base_lacks_are_added_behind(demo_base: Path, tmp_path: Path) -> None:
    base = read_base(demo_base)
    bias = np.linspace(-1, 1, 48, dtype=np.float32)
    rows = base.tensors["blk.0.attn_q.weight"]
    copy = BaseTensor(rows.path, replace(rows.info, name="copy.weight"))

    class Bias:
        def apply(self, first_row: int, values: np.ndarray) -> np.ndarray:
            assert (first_row, values.shape) == (0, (1, 48))
            return values + bias

    added = [
        Rewrite(Zeros("blk.0.attn_q.bias", (48,)), "F32", Bias(), rounded("F32")),
        Rewrite(copy, copy.type_name, None, lambda first, values, old: old),
    ]
    out = write(plan_layout(base, added, {}), tmp_path / "out.gguf")
    assert list(read_base(out).tensors) == [*base.tensors, "blk.0.attn_q.bias", "copy.weight"]
    assert np.array_equal(values_of(out, "blk.0.attn_q.bias"), bias.astype("f8"))
    found = tensors_of(out)
    assert found["copy.weight"] == found["blk.0.attn_q.weight"] == tensors_of(demo_base)["blk.0.attn_q.weight"]


def test_rows_that_do_not_fit_a_type_are_refused_before_anything_is_written(demo_base: Path) -> None:
    narrow = Zeros("narrow.weight", (48, 2))
    with pytest.raises(QuantizationError, match="rows of 48 values cannot be stored as Q4_K"):
        plan_layout(read_base(demo_base), [Rewrite(narrow, "Q4_K", None, rounded("Q4_K"))], {})


def test_a_reserved_text_is_filled_later(demo_base: Path, tmp_path: Path) -> None:
    out = write(plan(demo_base, {}, edgelora__report=" " * 40), tmp_path / "out.gguf")
    before = out.read_bytes()
    fill_text(out, "edgelora.report", '{"kl": "größe"}')
    header = read_header(out)
    assert header.get("edgelora.report", "").rstrip() == '{"kl": "größe"}'
    assert out.read_bytes().replace(header.get("edgelora.report", "").encode(), b" " * 40) == before
    with pytest.raises(MergeError, match="room for 40 bytes, not for 41"):
        fill_text(out, "edgelora.report", "x" * 41)
