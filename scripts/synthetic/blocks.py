"""Random quantized blocks, made directly: quantizing billions of weights would take minutes and gain nothing.

Layouts follow ggml/src/ggml-common.h. All codes are equally likely, so a block's values are uniform around zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]


def random_tensor(shape: tuple[int, ...], type_name: str, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Random values of zero mean and about the given standard deviation; ones where it is 0.

    F32 comes as values of ``shape``, a quantized type as bytes ``[rows, bytes in a row]``.
    """
    if type_name == "F32":
        values = rng.standard_normal(shape, np.float32) * np.float32(deviation)
        return values if deviation else np.ones(shape, np.float32)
    block_size, make = _MAKERS[type_name]
    rows, width = shape
    return make(rows * width // block_size, deviation, rng).reshape(rows, -1)


def _q4_k(n: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """d, dmin, eight 6-bit scales and mins in 12 bytes, 4-bit codes; value = d·scale·q - dmin·min."""
    scale = 8 + (_random(rng, n, 8) & 7)  # below 16, so no bits overflow into the packed high parts
    packed = np.concatenate([scale[:, :4], scale[:, :4], scale[:, 4:] | scale[:, 4:] << 4], axis=1)
    d = deviation / (4.61 * 11.7)  # spread of codes 0..15, quadratic mean of scales 8..15
    return _joined(_halves(n, d), _halves(n, 7.5 * d), packed, _random(rng, n, 128))


def _q6_k(n: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """Low and high bits of 6-bit codes, sixteen signed scales, d; value = d·scale·(q - 32)."""
    scale = (16 + (_random(rng, n, 16) & 15)).astype(np.int8)
    scale *= _signs(rng, n, 16)  # codes have a mean of -1/2; signs take it out
    d = deviation / (18.5 * 23.9)
    return _joined(_random(rng, n, 192), scale.view(np.uint8), _halves(n, d))


def _q5_0(n: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """d, high bits, 4-bit codes; value = d·(q - 16)."""
    return _joined(_halves(n, deviation / 9.23, _signs(rng, n, 1)), _random(rng, n, 20))


def _q8_0(n: int, deviation: float, rng: np.random.Generator) -> Bytes:
    """d, signed bytes; value = d·q."""
    return _joined(_halves(n, deviation / 73.9, _signs(rng, n, 1)), _random(rng, n, 32))


_MAKERS: dict[str, tuple[int, Callable[[int, float, np.random.Generator], Bytes]]] = {
    "Q4_K": (256, _q4_k),
    "Q6_K": (256, _q6_k),
    "Q5_0": (32, _q5_0),
    "Q8_0": (32, _q8_0),
}


def _random(rng: np.random.Generator, rows: int, width: int) -> Bytes:
    return np.frombuffer(rng.bytes(rows * width), np.uint8).reshape(rows, width)


def _signs(rng: np.random.Generator, rows: int, width: int) -> NDArray[np.int8]:
    return (1 - 2 * (_random(rng, rows, width) & 1)).astype(np.int8)


def _halves(rows: int, value: float, signs: NDArray[np.int8] | int = 1) -> Bytes:
    return np.broadcast_to(np.asarray(value * signs, np.float16), (rows, 1)).copy().view(np.uint8)


def _joined(*parts: Bytes) -> Bytes:
    return np.concatenate(parts, axis=1)
