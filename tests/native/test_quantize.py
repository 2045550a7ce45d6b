"""Rows to values and back: against gguf's own, against ggml itself, and every wrong input before it reaches ggml."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from gguf import quants
from gguf.constants import GGMLQuantizationType

from edgelora.errors import QuantizationError
from edgelora.native import backend
from edgelora.native.quantize import (
    TYPES,
    can_convert,
    dequantize,
    needs_importance,
    quantize,
    row_bytes,
    rows_are_valid,
)

N_COLS = 512
CONVERTIBLE = sorted(filter(can_convert, TYPES))
SEARCHED = {"IQ1_M", "IQ1_S", "IQ2_S", "IQ2_XS"}  # ggml builds tables for seconds before it encodes the first row
KINDS = [pytest.param(kind, marks=pytest.mark.slow) if kind in SEARCHED else kind for kind in CONVERTIBLE]
ENCODED_BY_GGUF = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")
KNOWN_TO_GGUF = {kind.name for kind in quants._type_traits} | {"F32", "F16"}
DECODED_BY_GGUF = [kind for kind in KINDS if (kind if isinstance(kind, str) else kind.values[0]) in KNOWN_TO_GGUF]


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Five rows, which no two threads share evenly; one is zero, one has an outlier."""
    rows = np.random.default_rng(0).standard_normal((5, N_COLS), np.float32) * 0.05
    rows[3], rows[4, 7] = 0, 20
    return rows


@pytest.fixture(scope="module")
def importance() -> np.ndarray:
    return np.random.default_rng(1).random(N_COLS, np.float32) * 40


def encoded_by_ggml(kind: str, values: np.ndarray, importance: np.ndarray | None) -> np.ndarray:
    """All rows in one native call."""
    out = np.empty((len(values), row_bytes(kind, values.shape[1])), np.uint8)
    lib = backend.ggml()
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    weights = None if importance is None else ctypes.c_void_p(importance.ctypes.data)
    n_rows, n_cols = (ctypes.c_int64(extent) for extent in values.shape)
    pointers = (ctypes.c_void_p(array.ctypes.data) for array in (values, out))
    assert lib.ggml_quantize_chunk(TYPES[kind].id, *pointers, ctypes.c_int64(0), n_rows, n_cols, weights) == out.nbytes
    return out


def needed(kind: str, importance: np.ndarray) -> np.ndarray | None:
    return importance if needs_importance(kind) else None


@pytest.mark.parametrize("kind", ENCODED_BY_GGUF)
def test_encoding_gives_the_bytes_of_ggufs(kind: str, values: np.ndarray) -> None:
    expected = quants.quantize(values, GGMLQuantizationType[kind]).view(np.uint8)
    assert np.array_equal(quantize(kind, values), expected.reshape(len(values), -1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_encoding_gives_the_bytes_of_ggml_whatever_the_threads(
    kind: str, threads: int, values: np.ndarray, importance: np.ndarray
) -> None:
    for weights in (importance, needed(kind, importance)):
        found = quantize(kind, values, threads, weights)
        assert np.array_equal(found, encoded_by_ggml(kind, values, weights))
        assert rows_are_valid(kind, found)


@pytest.mark.parametrize("kind", DECODED_BY_GGUF)
@pytest.mark.parametrize("threads", [1, 2])
def test_decoding_gives_the_values_of_ggufs(
    kind: str, threads: int, values: np.ndarray, importance: np.ndarray
) -> None:
    raw = quantize(kind, values, 1, needed(kind, importance))
    expected = quants.dequantize(raw, GGMLQuantizationType[kind])
    np.testing.assert_array_equal(dequantize(kind, raw, threads), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_rows_resemble_what_was_encoded(kind: str, values: np.ndarray, importance: np.ndarray) -> None:
    found = dequantize(kind, quantize(kind, values, 2, needed(kind, importance)), 2)
    assert found.shape == values.shape
    assert np.corrcoef(found[0], values[0])[0, 1] > 0.6
    assert not found[3].any()


def test_rows_may_be_read_only(values: np.ndarray) -> None:
    raw = quantize("Q8_0", values)
    raw.flags.writeable = False
    assert np.allclose(dequantize("Q8_0", raw), values, atol=0.1)


@pytest.mark.parametrize("kind", ["IQ2_XXS", "IQ3_XXS", "IQ3_S", "Q4_K"])
@pytest.mark.parametrize("factor", [0.0, 1e-38, 1e30, 3e38])
def test_extreme_importance_neither_aborts_nor_spoils_the_rows(kind: str, factor: float) -> None:
    for rows in (np.full((1, N_COLS), 3, np.float32), np.eye(1, N_COLS, dtype=np.float32) * 65000):
        assert rows_are_valid(kind, quantize(kind, rows, 1, np.full(N_COLS, factor, np.float32)))


@pytest.mark.parametrize("kind", ["I32", "Q8_1", "Q8_K", "F64", "Q9_Z", "q8_0", ""])
def test_types_without_values_are_refused(kind: str, values: np.ndarray) -> None:
    assert not can_convert(kind)
    for refused in (
        lambda: quantize(kind, values),
        lambda: dequantize(kind, values.view(np.uint8)),
        lambda: row_bytes(kind, 256),
    ):
        with pytest.raises(QuantizationError, match=r"cannot be decoded or encoded"):
            refused()


@pytest.mark.parametrize(("kind", "n_cols"), [("Q8_0", 33), ("Q4_K", 128), ("Q8_0", 0)])
def test_rows_that_are_no_whole_blocks_are_refused(kind: str, n_cols: int) -> None:
    with pytest.raises(QuantizationError, match=f"rows of {n_cols} values cannot be stored as {kind}"):
        quantize(kind, np.zeros((2, n_cols), np.float32))


def test_raw_rows_that_are_no_whole_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of 33 bytes are no whole Q8_0 blocks"):
        dequantize("Q8_0", np.zeros((2, 33), np.uint8))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_K"])
def test_values_that_are_not_finite_are_refused(kind: str, bad: float, values: np.ndarray) -> None:
    spoiled = values.copy()
    spoiled[2, 77] = bad
    with pytest.raises(QuantizationError, match="not finite"):
        quantize(kind, spoiled)


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "IQ3_S"])
def test_values_beyond_the_type_are_refused(kind: str, values: np.ndarray) -> None:
    with pytest.raises(QuantizationError, match=f"70000 is too large for {kind}"):
        quantize(kind, np.full((1, N_COLS), -70000, np.float32))
    assert rows_are_valid("BF16", quantize("BF16", np.full((1, N_COLS), -70000, np.float32)))


@pytest.mark.parametrize("rows", [np.zeros((2, N_COLS)), np.zeros(N_COLS, "f4"), np.zeros((N_COLS, 2), "f4").T])
def test_arrays_that_hold_no_rows_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="contiguous rows of float32"):
        quantize("Q8_0", rows)
    with pytest.raises(ValueError, match="contiguous rows of uint8"):
        dequantize("F32", rows)


@pytest.mark.parametrize("kind", ["IQ2_XXS", "IQ2_XS", "IQ1_S"])
def test_a_missing_importance_is_refused(kind: str, values: np.ndarray) -> None:
    with pytest.raises(QuantizationError, match=f"{kind} needs to know"):
        quantize(kind, values)


@pytest.mark.parametrize(
    ("importance", "error"),
    [
        (np.ones(N_COLS - 1, np.float32), ValueError),
        (np.ones(N_COLS), ValueError),
        (np.full(N_COLS, np.nan, np.float32), QuantizationError),
        (np.full(N_COLS, -1, np.float32), QuantizationError),
    ],
)
def test_a_wrong_importance_is_refused(importance: np.ndarray, error: type[Exception], values: np.ndarray) -> None:
    with pytest.raises(error, match="importance"):
        quantize("Q4_K", values, 1, importance)


def test_invalid_rows_are_found(capfd: pytest.CaptureFixture[str]) -> None:
    assert not rows_are_valid("Q8_0", np.full((1, 34), 0xFF, np.uint8))
    assert "nan" in capfd.readouterr().err
