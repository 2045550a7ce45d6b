"""Stores factors in a tensor type that holds them.

F16 has 10 bits of mantissa but little range (Q8_0's block scales, too), and trained B factors can be tiny. Multiplying
A with 2^k and B with 2^-k changes neither the product nor a single bit of a mantissa, so a pair that a type cannot hold
as it is may still fit after that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DType = Literal["auto", "f16", "f32", "bf16", "q8_0"]

PREFERENCES: Mapping[DType, tuple[str, ...]] = {
    "auto": ("F16", "F32"),
    "f16": ("F16",),
    "f32": ("F32",),
    "bf16": ("BF16",),
    "q8_0": ("Q8_0", "F16", "F32"),
}
"""The ggml types that a choice allows, best first."""

HELD_ERROR: Mapping[str, float] = {"F32": math.inf, "BF16": math.inf, "F16": 2.0**-10, "Q8_0": 2.0**-6}
"""Largest rounding error, relative to a factor's norm, with which a type still counts as holding it: about twice what
the type's own precision costs. BF16 has the range of F32, so only its known precision is lost."""

Q8_0_BLOCK = 32


@dataclass(frozen=True)
class Factor:
    """A factor as it is stored: values or quantized bytes, and the name of its ggml type."""

    data: NDArray[np.generic]
    type_name: str


class RangeError(ValueError):
    """No allowed type can hold this pair, however the power of two is divided."""


def encode_pair(a: NDArray[np.float32], b: NDArray[np.float32], dtype: DType) -> tuple[Factor, Factor]:
    """A [..., rank, n_in] and B [..., n_out, rank], each in the first type of ``PREFERENCES[dtype]`` that holds it.

    Raises RangeError where none does.
    """
    types = PREFERENCES[dtype]
    as_they_are = _encode(a, types[:1]), _encode(b, types[:1])
    first, second = as_they_are if all(as_they_are) else (_encode(factor, types) for factor in balanced(a, b))
    if first is None or second is None:
        raise RangeError(f"its values span more than {types[0]} can hold; choose auto or f32")
    return first, second


def balanced(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A·2^k and B·2^-k with the k that brings their largest values closest together."""
    largest_a, largest_b = float(np.abs(a).max()), float(np.abs(b).max())
    if largest_a == 0 or largest_b == 0:
        return a, b
    k = round((math.log2(largest_b) - math.log2(largest_a)) / 2)
    return np.ldexp(a, k), np.ldexp(b, -k)


def _encode(values: NDArray[np.float32], types: tuple[str, ...]) -> Factor | None:
    return next((factor for factor in (_encoded_as(values, name) for name in types) if factor), None)


def _encoded_as(values: NDArray[np.float32], type_name: str) -> Factor | None:
    """``values`` in one type, or None where it cannot hold them."""
    if type_name == "F32":
        return Factor(values, type_name)
    if type_name == "Q8_0" and values.shape[-1] % Q8_0_BLOCK:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        data, decoded = _half(values) if type_name == "F16" else _quantized(values, type_name)
    error, norm = _norm(decoded - values), _norm(values)
    return Factor(data, type_name) if error <= HELD_ERROR[type_name] * norm or error == 0 else None


def _norm(values: NDArray[np.float32]) -> float:
    """Frobenius norm; squares of large float32 values need the range of float64.

    Not numpy's own, which would wake BLAS threads for every small matrix.
    """
    return math.sqrt(np.square(values, dtype=np.float64).sum())


def _half(values: NDArray[np.float32]) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
    half = values.astype(np.float16)
    return half, half.astype(np.float32)


def _quantized(values: NDArray[np.float32], type_name: str) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    kind = GGMLQuantizationType[type_name]
    data = quantize(values, kind)
    return data, dequantize(data, kind)
