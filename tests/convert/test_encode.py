"""Types hold what every single rank does, however small it is beside the others."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from edgelora_convert.encode import DType, Factor, RangeError, balanced, encode_pair
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

PRECISION = {"F32": 1e-6, "F16": 2.0**-9, "BF16": 2.0**-6, "Q8_0": 2.0**-4}


def values(factor: Factor) -> np.ndarray:
    """What is stored, f64."""
    if factor.type_name in ("F32", "F16"):
        return factor.data.astype(np.float64)
    return dequantize(factor.data, GGMLQuantizationType[factor.type_name]).astype(np.float64)


def per_rank(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The products that single ranks make: [..., rank, n_out, n_in]."""
    return np.einsum("...or,...ri->...roi", b.astype(np.float64), a.astype(np.float64))


def assert_held(a: np.ndarray, b: np.ndarray, dtype: DType) -> tuple[Factor, Factor]:
    first, second = encode_pair(a, b, dtype)
    exact = per_rank(a, b)
    error = np.linalg.norm(per_rank(values(first), values(second)) - exact, axis=(-1, -2))
    limit = max(PRECISION[factor.type_name] for factor in (first, second))
    assert (error <= 2 * limit * np.linalg.norm(exact, axis=(-1, -2))).all()
    return first, second


exponents = st.integers(-18, 12)


@pytest.mark.parametrize("dtype", get_args(DType))
@given(sizes=st.lists(st.tuples(exponents, exponents), min_size=1, max_size=5), seed=st.integers(0, 9))
def test_no_rank_is_lost(dtype: DType, sizes: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.1, 1, (len(sizes), 32)), rng.uniform(0.1, 1, (16, len(sizes)))
    a *= 10.0 ** np.array([[size] for size, _ in sizes])
    b *= 10.0 ** np.array([size for _, size in sizes])
    try:
        assert_held(a.astype(np.float32), b.astype(np.float32), dtype)
    except RangeError:
        assert dtype == "f16"


def test_one_expert_is_not_lost_beside_the_others() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((4, 2, 32), np.float32), rng.standard_normal((4, 16, 2), np.float32) * np.float32(1e-3)
    b[2] *= np.float32(1e-5)
    first, second = assert_held(a, b, "auto")
    assert (first.type_name, second.type_name) == ("F16", "F16")


def test_values_that_fit_are_stored_as_they_are() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((8, 64), np.float32), rng.standard_normal((32, 8), np.float32)
    first, second = encode_pair(a, b, "auto")
    np.testing.assert_array_equal(first.data, a.astype(np.float16))
    np.testing.assert_array_equal(second.data, b.astype(np.float16))


def test_what_bf16_would_make_infinite_is_refused() -> None:
    a, b = np.full((1, 32), 3.4e38, np.float32), np.full((4, 1), 3.4e38, np.float32)
    with pytest.raises(RangeError):
        encode_pair(a, b, "bf16")


def test_an_embedding_is_stored_by_token() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((4, 96), np.float32), rng.standard_normal((32, 4), np.float32)
    a[1] *= np.float32(1e-9)
    first, second = encode_pair(a, b, "auto", looked_up=True)
    assert first.data.shape == (96, 4)
    np.testing.assert_allclose(values(second) @ values(first).T, b @ a, rtol=0, atol=2e-2)


@given(
    arrays.arrays(np.float32, (3, 5), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
    arrays.arrays(np.float32, (4, 3), elements=st.floats(-(2.0**99), 2.0**99, width=32)),
)
def test_balancing_changes_exponents_only(a: np.ndarray, b: np.ndarray) -> None:
    a, b = (np.where(np.abs(factor) < 1e-20, np.float32(0), factor) for factor in (a, b))
    for before, after in zip((a, b), balanced(a, b), strict=True):
        np.testing.assert_array_equal(np.frexp(before)[0], np.frexp(after)[0])
    products = per_rank(a, b), per_rank(*balanced(a, b))
    np.testing.assert_array_equal(*products)
