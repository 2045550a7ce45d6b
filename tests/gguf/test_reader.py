"""The header reader, against gguf's own and on what it must decode itself."""

from __future__ import annotations

import pickle
import struct
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import quantize
from support import raw_gguf as raw

from edgelora.errors import GGUFError
from edgelora.gguf.data import tensor_data, tensor_rows
from edgelora.gguf.ggml_types import ValueType
from edgelora.gguf.header import MetadataArray
from edgelora.gguf.reader import read_header, read_part

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = {
    GGUFValueType.UINT8: 200,
    GGUFValueType.INT8: -100,
    GGUFValueType.UINT16: 60000,
    GGUFValueType.INT16: -30000,
    GGUFValueType.UINT32: 4_000_000_000,
    GGUFValueType.INT32: -2_000_000_000,
    GGUFValueType.FLOAT32: 0.5,
    GGUFValueType.BOOL: True,
    GGUFValueType.UINT64: 2**60,
    GGUFValueType.INT64: -(2**60),
    GGUFValueType.FLOAT64: 0.1,
    GGUFValueType.STRING: "wörter 😀",
}
QUANTIZED = ("BF16", "Q4_0", "Q5_1", "Q8_0")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every value type, alone and in arrays, an alignment of its own, and tensors of several types."""
    path = tmp_path_factory.mktemp("gguf") / "everything.gguf"
    rng = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    for kind, value in SCALARS.items():
        writer.add_key_value(f"scalar.{kind.name}", value, kind)
        writer.add_key_value(f"array.{kind.name}", [value] * 3, GGUFValueType.ARRAY, kind)
    writer.add_tensor("f32", rng.standard_normal((3, 5), np.float32))
    writer.add_tensor("f16", rng.standard_normal((2, 3, 4)).astype(np.float16))
    for name in QUANTIZED:
        kind = GGMLQuantizationType[name]
        writer.add_tensor(name.lower(), quantize(rng.standard_normal((4, 64), np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_value_is_what_ggufs_reader_finds(everything: Path) -> None:
    header, reference = read_header(everything), GGUFReader(everything)
    expected = {key: field.contents() for key, field in reference.fields.items() if not key.startswith("GGUF.")}
    found = {k: list(v) if isinstance(v, MetadataArray) else v for k, v in header.metadata.items()}
    assert found == expected
    assert header.value_types["scalar.UINT16"] is ValueType.UINT16
    assert header.alignment == 64


def test_spans_cover_the_metadata_entry_by_entry(everything: Path) -> None:
    header, data = read_header(everything), everything.read_bytes()
    ends = [24, *(end for _, end in header.spans.values())]
    assert [start for start, _ in header.spans.values()] == ends[:-1]
    assert list(header.spans) == list(header.metadata)
    for key, (start, _) in header.spans.items():
        assert data[start:].startswith(raw.text(key) + raw.u32(header.value_types[key]))


def test_a_part_of_a_split_model_can_be_read_as_it_is(tmp_path: Path) -> None:
    path = raw.write(tmp_path / "part.gguf", raw.encode((raw.KV("split.count", raw.U32, raw.u32(3)),)))
    assert read_part(path).metadata["split.count"] == 3
    with pytest.raises(GGUFError, match="one of 3 parts"):
        read_header(path)


def test_every_tensor_is_where_ggufs_reader_finds_it(everything: Path) -> None:
    header, reference = read_header(everything), GGUFReader(everything)
    assert [
        (info.name, info.shape, info.type_name, info.offset, info.nbytes, info.n_elements)
        for info in header.tensors.values()
    ] == [
        (t.name, tuple(t.shape), t.tensor_type.name, t.data_offset, t.n_bytes, t.n_elements) for t in reference.tensors
    ]


@pytest.mark.parametrize("name", ["f32", "f16", *map(str.lower, QUANTIZED)])
def test_tensor_values_are_what_gguf_decodes(everything: Path, name: str) -> None:
    from gguf.quants import dequantize

    header = read_header(everything)
    (reference,) = (t for t in GGUFReader(everything).tensors if t.name == name)
    values = tensor_data(header, header.tensors[name])
    expected = dequantize(reference.data, reference.tensor_type).reshape(values.shape)
    assert values.shape == tuple(reversed(header.tensors[name].shape))
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("name", ["f32", "f16", *map(str.lower, QUANTIZED)])
@pytest.mark.parametrize("rows", [[0], [2, 0, 1], [1, 2], range(3)])
def test_rows_are_those_of_the_whole_tensor(everything: Path, name: str, rows: list[int]) -> None:
    header = read_header(everything)
    info = header.tensors[name]
    whole = tensor_data(header, info).astype(np.float32).reshape(-1, info.shape[0])
    found = tensor_rows(header, info, rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, whole[list(rows)])


def test_rows_of_a_file_that_was_cut_meanwhile(everything: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(everything.read_bytes())
    header = read_header(copy)
    last = max(header.tensors.values(), key=lambda info: info.offset)
    with copy.open("r+b") as file:
        file.truncate(last.offset + 1)
    with pytest.raises(GGUFError, match="the file ends within"):
        tensor_rows(header, last, [0])


def test_a_header_can_be_pickled_and_needs_no_open_file(everything: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(everything.read_bytes())
    header = read_header(copy)
    copy.unlink()
    assert list(pickle.loads(pickle.dumps(header)).metadata["array.STRING"]) == ["wörter 😀"] * 3


def test_a_vocabulary_may_hold_bytes_that_are_no_text(tmp_path: Path) -> None:
    tokens = raw.KV("tokens", raw.ARRAY, raw.u32(raw.STRING) + raw.u64(2) + raw.text(b"\xff") + raw.text("a"))
    header = read_header(raw.write(tmp_path / "x.gguf", raw.encode((raw.ARCH, tokens))))
    assert header.metadata["tokens"][:] == ("\ufffd", "a")


def test_a_large_vocabulary_costs_one_call_for_each_string(tmp_path: Path) -> None:
    """So that it takes a fraction of a second: with a call or two more, and an object, it would take several."""
    count = 150_000
    strings = b"".join(raw.text(f"token{index}") for index in range(count))
    arrays = [
        raw.KV(key, raw.ARRAY, raw.u32(raw.STRING) + raw.u64(count) + strings)
        for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")
    ]
    types = raw.KV("types", raw.ARRAY, raw.u32(raw.U32) + raw.u64(count) + bytes(4 * count))
    path = raw.write(tmp_path / "large.gguf", raw.encode((raw.ARCH, *arrays, types)))
    calls = Counter[str]()
    sys.setprofile(lambda frame, event, argument: calls.update((event,)))
    try:
        header = read_header(path)
    finally:
        sys.setprofile(None)
    assert calls["call"] + calls["c_call"] < 2.1 * count
    assert header.metadata["tokenizer.ggml.merges"][count - 1] == f"token{count - 1}"


def test_get_refuses_a_value_of_another_kind(everything: Path) -> None:
    header = read_header(everything)
    assert header.get("scalar.INT8", 0.0) == -100.0
    assert header.get("absent", "default") == "default"
    with pytest.raises(GGUFError, match=r"scalar\.INT8 is INT8, expected str"):
        header.get("scalar.INT8", "")


def test_version_2_is_read_too(tmp_path: Path) -> None:
    header = read_header(raw.write(tmp_path / "v2.gguf", raw.encode(version=2)))
    assert header.version == 2
    assert header.metadata["general.architecture"] == "llama"


def test_floats_in_arrays_keep_their_precision(tmp_path: Path) -> None:
    array = raw.KV("a", raw.ARRAY, raw.u32(raw.F64) + raw.u64(1) + struct.pack("<d", 0.1))
    assert read_header(raw.write(tmp_path / "x.gguf", raw.encode((array,)))).metadata["a"][0] == 0.1
