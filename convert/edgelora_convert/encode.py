"""Stores factors in a tensor type that holds them.

F16 has 10 bits of mantissa but little range (Q8_0's block scales, too), and trained B factors can be tiny. Multiplying
a row of A with 2^k and the same column of B with 2^-k changes neither the product nor a single bit of a mantissa, so a
pair that a type cannot hold as it is may still fit after that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Values = NDArray[np.float32]

DType = Literal["auto", "f16", "f32", "bf16", "q8_0"]

PREFERENCES: Mapping[DType, tuple[str, ...]] = {
    "auto": ("F16", "F32"),
    "f16": ("F16",),
    "f32": ("F32",),
    "bf16": ("BF16",),
    "q8_0": ("Q8_0", "F16", "F32"),
}
"""The ggml types that a choice allows, best first."""

HELD_ERROR: Mapping[str, float] = {"F32": math.inf, "BF16": 2.0**-7, "F16": 2.0**-10, "Q8_0": 2.0**-6}
"""Largest rounding error, relative to the norm, with which a type still counts as holding a rank row: about twice what
the type's own precision costs."""

Q8_0_BLOCK = 32


@dataclass(frozen=True)
class Factor:
    """A factor as it is stored: values or quantized bytes, and the name of its ggml type."""

    data: NDArray[np.generic]
    type_name: str


class RangeError(ValueError):
    """No allowed type can hold this pair, however the power of two is divided."""


def encode_pair(a: Values, b: Values, dtype: DType, looked_up: bool = False) -> tuple[Factor, Factor]:
    """A [..., rank, n_in] and B [..., n_out, rank], each in the first type of ``PREFERENCES[dtype]`` that holds it.

    A type holds a factor if it holds what belongs to every single rank, so that nothing small is lost beside something
    large. ``looked_up`` stores A transposed, as llama.cpp wants it of embeddings. Raises RangeError where no type will
    do.
    """
    types = PREFERENCES[dtype]
    pair = _encoded(a, b, looked_up, types, 1) or _encoded(*balanced(a, b), looked_up, types, len(types))
    if pair is None:
        raise RangeError(f"its values span more than {types[0]} can hold; choose auto or f32")
    return pair


def balanced(a: Values, b: Values) -> tuple[Values, Values]:
    """Each row of A times 2^k and the same column of B times 2^-k, which brings their largest values close together."""
    largest_a, largest_b = np.abs(a).max(axis=-1), np.abs(b).max(axis=-2)
    (_, exponent_a), (_, exponent_b) = np.frexp(largest_a), np.frexp(largest_b)
    k = np.where((largest_a == 0) | (largest_b == 0), 0, (exponent_b - exponent_a) // 2)
    return np.ldexp(a, k[..., :, None]), np.ldexp(b, -k[..., None, :])


def _encoded(a: Values, b: Values, looked_up: bool, types: tuple[str, ...], tries: int) -> tuple[Factor, Factor] | None:
    first = _encode(np.ascontiguousarray(a.T), -1, types, tries) if looked_up else _encode(a, -2, types, tries)
    second = first and _encode(b, -1, types, tries)
    return (first, second) if first and second else None


def _encode(values: Values, rank_axis: int, types: tuple[str, ...], tries: int) -> Factor | None:
    """``values`` in the first of ``types`` that holds them; of those whose blocks fit, only some are tried."""
    fitting = [name for name in types if name != "Q8_0" or values.shape[-1] % Q8_0_BLOCK == 0]
    return next((factor for name in fitting[:tries] if (factor := _encoded_as(values, name, rank_axis))), None)


def _encoded_as(values: Values, type_name: str, rank_axis: int) -> Factor | None:
    """``values`` in one type, or None where it cannot hold them."""
    if type_name == "F32":
        return Factor(values, type_name)
    with np.errstate(over="ignore", invalid="ignore"):
        data, decoded = _half(values) if type_name == "F16" else _quantized(values, type_name)
        held = _norms(decoded - values, rank_axis) <= HELD_ERROR[type_name] * _norms(values, rank_axis)
    return Factor(data, type_name) if held.all() else None


def _norms(values: Values, rank_axis: int) -> NDArray[np.float64]:
    """Norms of what belongs to each rank; squares of large float32 values need the range of float64."""
    kept = "i" if rank_axis == -2 else "j"
    squares: NDArray[np.float64] = np.einsum(f"...ij,...ij->...{kept}", values, values, dtype=np.float64)
    return np.sqrt(squares)


def _half(values: Values) -> tuple[NDArray[np.generic], Values]:
    half = values.astype(np.float16)
    return half, half.astype(np.float32)


def _quantized(values: Values, type_name: str) -> tuple[NDArray[np.generic], Values]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    kind = GGMLQuantizationType[type_name]
    data = quantize(values, kind)
    return data, dequantize(data, kind)
