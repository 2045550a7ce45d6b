"""safetensors headers: what the format's own library reads is read, what it refuses and more is refused in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.problems import Problems
from edgelora_convert.storage.safetensors_file import MAX_HEADER_BYTES
from edgelora_convert.storage.tensor_file import StoredTensor, open_tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from support.safetensors_files import entry, write_raw

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from pathlib import Path

ONE = entry("F32", [1], 0, 4)


def refusal(path: Path) -> str:
    with pytest.raises(ConversionError) as caught:
        open_tensors(path, Problems(str(path)))
    (problem,) = caught.value.problems
    return problem


def test_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "f32": rng.standard_normal((3, 4)).astype("<f4"),
        "f16": rng.standard_normal((2, 3, 4)).astype("<f2"),
        "f64": np.array([1e300, 0.5]),
        "empty": np.zeros((0, 4), "<f4"),
    }
    save_file(arrays, tmp_path / "x.safetensors", {"format": "pt"})
    found = open_tensors(tmp_path / "x.safetensors", Problems("x"))
    assert set(found) == set(arrays)
    with np.errstate(over="ignore"):
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name].load(), values.astype(np.float32))
    stack = found["f16"]
    np.testing.assert_array_equal(stack.row(1).load(), arrays["f16"][1])
    np.testing.assert_array_equal(found["f32"].rows(1, 2).load(), arrays["f32"][1:])


def test_rows_of_a_transposed_tensor(tmp_path: Path) -> None:
    values = np.arange(12, dtype="<f4")
    values.tofile(tmp_path / "x")
    tensor = StoredTensor(tmp_path / "x", "x", "F32", (4, 3), 0, strides=(1, 4))
    expected = values.reshape(3, 4).T
    np.testing.assert_array_equal(tensor.load(), expected)
    np.testing.assert_array_equal(tensor.rows(1, 2).load(), expected[1:3])
    np.testing.assert_array_equal(tensor.row(2).load(), expected[2])


@pytest.mark.parametrize("dtype", ["I64", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "C64", "F4"])
def test_types_without_usable_values(tmp_path: Path, dtype: str) -> None:
    size = {"I64": 8, "C64": 8, "F4": 1}.get(dtype, 1) * (1 if dtype == "F4" else 2)
    path = write_raw(tmp_path / "x", {"t": entry(dtype, [2], 0, size)}, b"\0" * size)
    assert not open_tensors(path, Problems("x"))["t"].is_float


HEADERS: dict[str, tuple[object, bytes, str]] = {
    "no object": ([ONE], b"\0" * 4, "no JSON object"),
    "no JSON": ("{", b"", "cannot be read"),
    "deep": ("[" * 200_000, b"", "cannot be read"),
    "no UTF-8": ('{"\udc80": 1}'.encode("utf-8", "surrogatepass").decode("latin-1"), b"", "not understood"),
    "twice": ('{"a": {"dtype": "F32", "dtype": "F16"}}', b"", "twice"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", "no text"),
    "no entry": ({"a": 1}, b"", "not understood"),
    "nothing in it": ({"a": {}}, b"", "not understood"),
    "unknown type": ({"a": entry("F33", [1], 0, 4)}, b"\0" * 4, "not understood"),
    "list as type": ({"a": {**ONE, "dtype": []}}, b"\0" * 4, "not understood"),
    "text as shape": ({"a": {**ONE, "shape": "1"}}, b"\0" * 4, "not understood"),
    "true as extent": ({"a": entry("F32", [True], 0, 4)}, b"\0" * 4, "not understood"),
    "negative extent": ({"a": entry("F32", [-1, -1], 0, 4)}, b"\0" * 4, "not understood"),
    "huge extent": ({"a": entry("F32", [2**70], 0, 2**72)}, b"", "not understood"),
    "many dimensions": ({"a": entry("F32", [1] * 1000, 0, 4)}, b"\0" * 4, "not understood"),
    "three offsets": ({"a": {**ONE, "data_offsets": [0, 4, 8]}}, b"\0" * 4, "not understood"),
    "fraction as offset": ({"a": entry("F32", [1], 0.0, 4.0)}, b"\0" * 4, "does not agree"),
    "other size": ({"a": entry("F32", [2], 0, 4)}, b"\0" * 4, "does not agree"),
    "backwards": ({"a": entry("F32", [1], 4, 0)}, b"\0" * 4, "does not agree"),
    "negative offset": ({"a": entry("F32", [1], -4, 0)}, b"\0" * 4, "starts at -4"),
    "overlap": ({"a": ONE, "b": ONE}, b"\0" * 4, "starts at 0, expected 4"),
    "gap": ({"a": entry("F32", [1], 4, 8)}, b"\0" * 8, "starts at 4, expected 0"),
    "cut off": ({"a": entry("F32", [3], 0, 12)}, b"\0" * 11, "cut off: 12 bytes of data are announced, 11 are there"),
    "more": ({"a": ONE}, b"\0" * 5, "1 bytes follow"),
    "terabytes": ({"a": entry("F32", [2**40], 0, 2**42)}, b"", "cut off"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_damaged_headers(tmp_path: Path, case: str) -> None:
    header, data, expected = HEADERS[case]
    problem = refusal(write_raw(tmp_path / "x.safetensors", header, data))
    assert expected in problem
    assert "download or copy it again" in problem
    assert len(problem) < 400


@pytest.mark.parametrize("content", [b"\x01", b"\xff" * 8, b"\xff" * 7 + b"\x7f" + b"{}", b"\0" * 8, b"\0" * 4096])
def test_files_that_are_hardly_there(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    assert "damaged or incomplete" in refusal(tmp_path / "x")


def test_a_header_beyond_all_reason_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(MAX_HEADER_BYTES + 100)
    monkeypatch.setattr(json, "loads", pytest.fail)
    assert "larger than" in refusal(path)


def test_long_numbers_cost_nothing(tmp_path: Path) -> None:
    """A product of these extents would have four million digits."""
    shape = ", ".join(["9" * 4000] * 1000)
    header = f'{{"a": {{"dtype": "F32", "shape": [{shape}], "data_offsets": [0, 4]}}}}'
    assert "not understood" in refusal(write_raw(tmp_path / "x", header, b"\0" * 4))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "F8_E4M3"]) | json_values,
        "shape": st.lists(st.integers(0, 4), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(0, 32), min_size=2, max_size=2) | json_values,
    }
)
headers = st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]) | st.text(max_size=4), entries | json_values)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(header=headers, size=st.integers(0, 40))
def test_nothing_is_read_that_the_library_refuses(tmp_path: Path, header: dict[str, Any], size: int) -> None:
    agrees_with_the_library(write_raw(tmp_path / "x.safetensors", header, b"\0" * size))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes(tmp_path: Path, data: st.DataObject) -> None:
    save_file({"a": np.ones((2, 3), "<f4"), "b": np.ones(4, "<f2")}, tmp_path / "sound.safetensors")
    content = bytearray((tmp_path / "sound.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.just(len(content)) | st.integers(0, len(content))) :]
    (tmp_path / "x.safetensors").write_bytes(content)
    agrees_with_the_library(tmp_path / "x.safetensors")


def agrees_with_the_library(path: Path) -> None:
    """What is read here, safetensors reads too, with the same names, types and shapes."""
    try:
        found = open_tensors(path, Problems("x"))
    except ConversionError:
        return
    try:
        with safe_open(path, "numpy") as library:
            assert set(library.keys()) == set(found)
            for name, tensor in found.items():
                view = library.get_slice(name)
                assert (view.get_dtype(), tuple(view.get_shape())) == (tensor.dtype, tensor.shape)
                assert not tensor.is_float or tensor.load().shape == tensor.shape
    except SafetensorError as error:
        pytest.fail(f"read, but the library says {error}")
