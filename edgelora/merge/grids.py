"""The grid that a quantized row lies on: which values each weight can take while its block's scales stay.

A weight is ``scale * level[code] + offset``; scale and offset are shared by a group of 16 or 32 weights. Codes can be
exchanged while the scales stay bit for bit. The layouts are those of the ``block_*`` structures in
ggml/src/ggml-common.h and of ``dequantize_row_*`` in ggml/src/ggml-quants.c of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgelora.native.quantize import TYPES

Bytes: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Levels:
    """The values, ascending, that codes 0, 1, ... stand for before scaling: float32 ``[n_codes]``."""

    values: Floats

    @cached_property
    def _middles(self) -> Floats:
        middles: Floats = (self.values[1:] + self.values[:-1]) / np.float32(2)
        return middles

    @cached_property
    def _consecutive(self) -> bool:
        return bool((np.diff(self.values) == 1).all())

    def nearest(self, wanted: Floats, scale: Floats, offset: Floats) -> Bytes:
        """The codes whose values are next to ``wanted``; uint8 in the shape of all three arrays together.

        Where the scale is 0, all codes mean the same.
        """
        apart = wanted - offset
        steps: Floats = np.divide(apart, scale, out=np.zeros_like(apart), where=scale != 0)
        if not self._consecutive:
            found: Bytes = np.searchsorted(self._middles, steps).astype(np.uint8)
            return found
        np.rint(steps, out=steps)
        steps -= self.values[0]
        return steps.clip(0, len(self.values) - 1).astype(np.uint8)

    def scaled(self, codes: Bytes, scale: Floats, offset: Floats) -> Floats:
        """What ``codes`` stand for, float32 in the shape of all three arrays together."""
        values: Floats = self.values[codes] * scale + offset
        return values


@dataclass(frozen=True)
class Grid:
    """Grids of ``n`` rows: ``scale`` and ``offset`` are float32 ``[n, n_cols / group]``."""

    scale: Floats
    offset: Floats
    group: int
    levels: Levels

    def nearest(self, values: Floats) -> Bytes:
        """The codes, uint8 ``[n, n_cols]``, of the grid values next to ``values`` of the same shape."""
        grouped = values.reshape(len(values), -1, self.group)
        return self.levels.nearest(grouped, self.scale[..., None], self.offset[..., None]).reshape(values.shape)

    def values(self, codes: Bytes) -> Floats:
        """What ``codes`` ``[n, n_cols]`` stand for, float32 of the same shape."""
        grouped = codes.reshape(len(codes), -1, self.group)
        return self.levels.scaled(grouped, self.scale[..., None], self.offset[..., None]).reshape(codes.shape)


def grid_of(type_name: str, raw: Bytes) -> Grid:
    """The grid of stored rows, uint8 ``[n, row_bytes]``, of a type in GRID_TYPES."""
    layout = _LAYOUTS[type_name]
    scale, offset = layout.steps(_blocks(type_name, raw))
    n_rows = len(raw)
    return Grid(scale.reshape(n_rows, -1), offset.reshape(n_rows, -1), layout.group, layout.levels)


def with_codes(type_name: str, raw: Bytes, codes: Bytes) -> Bytes:
    """A copy of stored rows with other codes, uint8 ``[n, n_cols]``, and all else bit for bit as it was."""
    changed = raw.copy()
    blocks = _blocks(type_name, changed)
    for plane in _LAYOUTS[type_name].planes:
        plane.write(codes.reshape(*blocks.shape[:2], -1), blocks)
    return changed


def _blocks(type_name: str, raw: Bytes) -> Bytes:
    return raw.reshape(len(raw), -1, TYPES[type_name].type_size)


# --- where codes lie


@dataclass(frozen=True, slots=True)
class _Plane:
    """Some bits of every code of a block, in ``size`` bytes from ``at`` on.

    Runs of ``span`` bytes hold, from their lowest bits on, ``bits`` bits of each of the first ``span`` codes, then of
    the next. They belong ``shift`` bits up in the code. ``flip`` turns signed numbers into codes from 0 on.
    """

    at: int
    size: int
    bits: int
    span: int
    shift: int = 0
    flip: int = 0

    def write(self, codes: Bytes, blocks: Bytes) -> None:
        parts = ((codes >> self.shift) ^ self.flip) & self._mask
        spread = parts.reshape(*codes.shape[:2], -1, 8 // self.bits, self.span) << self._positions
        self._of(blocks)[...] = np.bitwise_or.reduce(spread, axis=3).reshape(*codes.shape[:2], -1)

    def _of(self, blocks: Bytes) -> Bytes:
        return blocks[..., self.at : self.at + self.size]

    @property
    def _mask(self) -> np.uint8:
        return np.uint8((1 << self.bits) - 1)

    @property
    def _positions(self) -> Bytes:
        return np.arange(0, 8, self.bits, dtype=np.uint8)[:, None]


# --- scales and offsets of the blocks [n, n_blocks, type_size]: each [n, n_blocks, groups of a block]

_Steps: TypeAlias = Callable[[Bytes], tuple[Floats, Floats]]


def _half(blocks: Bytes, at: int) -> Floats:
    """The F16 at byte ``at`` of each block."""
    return np.ascontiguousarray(blocks[..., at : at + 2]).view("<f2").astype(np.float32)


def _scale_only(blocks: Bytes) -> tuple[Floats, Floats]:
    scale = _half(blocks, 0)
    return scale, np.zeros_like(scale)


def _scale_and_offset(blocks: Bytes) -> tuple[Floats, Floats]:
    return _half(blocks, 0), _half(blocks, 2)


def _q2_k(blocks: Bytes) -> tuple[Floats, Floats]:
    packed = blocks[..., :16]
    return _half(blocks, 80) * (packed & 15), -_half(blocks, 82) * (packed >> 4)


def _q3_k(blocks: Bytes) -> tuple[Floats, Floats]:
    low, high = blocks[..., 96:104], blocks[..., 104:108]
    four_bits = np.concatenate([low & 15, low >> 4], -1)
    two_bits = np.concatenate([high >> shift & 3 for shift in (0, 2, 4, 6)], -1)
    scale = _half(blocks, 108) * ((four_bits | two_bits << 4).astype(np.float32) - 32)
    return scale, np.zeros_like(scale)


def _q4_k(blocks: Bytes) -> tuple[Floats, Floats]:
    """Q5_K too: eight pairs of six bits in twelve bytes (get_scale_min_k4)."""
    first, second, last = blocks[..., 4:8], blocks[..., 8:12], blocks[..., 12:16]
    scales = np.concatenate([first & 63, last & 15 | first >> 6 << 4], -1)
    offsets = np.concatenate([second & 63, last >> 4 | second >> 6 << 4], -1)
    return _half(blocks, 0) * scales, -_half(blocks, 2) * offsets


def _q6_k(blocks: Bytes) -> tuple[Floats, Floats]:
    scale = _half(blocks, 208) * blocks[..., 192:208].view(np.int8)
    return scale, np.zeros_like(scale)


def _iq4_xs(blocks: Bytes) -> tuple[Floats, Floats]:
    high = np.ascontiguousarray(blocks[..., 2:4]).view("<u2") >> np.arange(0, 16, 2) & 3
    low = (blocks[..., 4:8, None] >> np.array([0, 4], np.uint8) & 15).reshape(*blocks.shape[:2], 8)
    scale = _half(blocks, 0) * ((low | high << 4).astype(np.float32) - 32)
    return scale, np.zeros_like(scale)


# --- the types


@dataclass(frozen=True, slots=True)
class _Layout:
    group: int
    levels: Levels
    steps: _Steps
    planes: tuple[_Plane, ...]


def _whole_numbers(first: int, last: int) -> Levels:
    return Levels(np.arange(first, last + 1, dtype=np.float32))


_IQ4 = Levels(np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32))
"""kvalues_iq4nl."""

_LAYOUTS = {
    "Q4_0": _Layout(32, _whole_numbers(-8, 7), _scale_only, (_Plane(2, 16, 4, 16),)),
    "Q4_1": _Layout(32, _whole_numbers(0, 15), _scale_and_offset, (_Plane(4, 16, 4, 16),)),
    "Q5_0": _Layout(32, _whole_numbers(-16, 15), _scale_only, (_Plane(6, 16, 4, 16), _Plane(2, 4, 1, 1, 4))),
    "Q5_1": _Layout(32, _whole_numbers(0, 31), _scale_and_offset, (_Plane(8, 16, 4, 16), _Plane(4, 4, 1, 1, 4))),
    "Q8_0": _Layout(32, _whole_numbers(-128, 127), _scale_only, (_Plane(2, 32, 8, 32, flip=128),)),
    "Q2_K": _Layout(16, _whole_numbers(0, 3), _q2_k, (_Plane(16, 64, 2, 32),)),
    "Q3_K": _Layout(16, _whole_numbers(-4, 3), _q3_k, (_Plane(32, 64, 2, 32), _Plane(0, 32, 1, 32, 2))),
    "Q4_K": _Layout(32, _whole_numbers(0, 15), _q4_k, (_Plane(16, 128, 4, 32),)),
    "Q5_K": _Layout(32, _whole_numbers(0, 31), _q4_k, (_Plane(48, 128, 4, 32), _Plane(16, 32, 1, 32, 4))),
    "Q6_K": _Layout(16, _whole_numbers(-32, 31), _q6_k, (_Plane(0, 128, 4, 64), _Plane(128, 64, 2, 32, 4))),
    "IQ4_NL": _Layout(32, _IQ4, _scale_only, (_Plane(2, 16, 4, 16),)),
    "IQ4_XS": _Layout(32, _IQ4, _iq4_xs, (_Plane(8, 128, 4, 16),)),
}

GRID_TYPES = frozenset(_LAYOUTS)
"""The types whose codes can be chosen one by one; those of others index vectors of several weights."""
