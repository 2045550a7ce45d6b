"""The grids of stored rows against libggml's own decoding."""

from __future__ import annotations

import numpy as np
import pytest

from edgelora.merge.grids import GRID_TYPES, grid_of, with_codes
from edgelora.native.quantize import TYPES, dequantize, quantize

N_COLS = 512
by_type = pytest.mark.parametrize("type_name", sorted(GRID_TYPES))


def stored(type_name: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((6, N_COLS)) * rng.uniform(0.01, 3, (6, 1)) + rng.uniform(-0.5, 0.5, (6, 1))
    values[5] = 0
    return quantize(type_name, values.astype(np.float32))


def arbitrary(type_name: str) -> np.ndarray:
    """Any bytes at all, with scales that are numbers: other tools may choose scales that ggml's quantizers never do."""
    kind = TYPES[type_name]
    raw = np.random.default_rng(1).integers(0, 256, (40, N_COLS // kind.block_size * kind.type_size), np.uint8)
    return raw[np.isfinite(dequantize(type_name, raw)).all(1)]


@by_type
def test_what_ggml_decodes_is_on_the_grid(type_name: str) -> None:
    for raw in (stored(type_name), arbitrary(type_name)):
        assert len(raw) >= 6
        grid, decoded = grid_of(type_name, raw), dequantize(type_name, raw)
        found = grid.values(grid.nearest(decoded))
        np.testing.assert_allclose(found, decoded, rtol=1e-5, atol=1e-5 * np.abs(decoded).max())


@by_type
def test_codes_are_replaced_whole_and_nothing_else(type_name: str) -> None:
    for raw in (stored(type_name), arbitrary(type_name)):
        n_levels = len(grid_of(type_name, raw).levels.values)
        none, all_ones = (np.full((len(raw), N_COLS), code, np.uint8) for code in (0, n_levels - 1))
        zeroed = with_codes(type_name, raw, none)
        bits = zeroed ^ with_codes(type_name, raw, all_ones)
        assert np.unpackbits(bits).sum() == raw.shape[0] * N_COLS * np.log2(n_levels)
        np.testing.assert_array_equal(zeroed & ~bits, raw & ~bits)
        np.testing.assert_array_equal(with_codes(type_name, zeroed, all_ones), zeroed ^ bits)


@by_type
def test_other_codes_are_what_ggml_decodes_and_leave_the_scales(type_name: str) -> None:
    raw, grid = stored(type_name), grid_of(type_name, stored(type_name))
    codes = np.random.default_rng(2).integers(0, len(grid.levels.values), (6, N_COLS), np.uint8)
    changed = with_codes(type_name, raw, codes)
    np.testing.assert_array_equal(grid_of(type_name, changed).scale, grid.scale)
    np.testing.assert_array_equal(grid_of(type_name, changed).offset, grid.offset)
    np.testing.assert_allclose(dequantize(type_name, changed), grid.values(codes), rtol=1e-5, atol=1e-4)


@by_type
def test_rounding_finds_the_nearest_value_of_the_grid(type_name: str) -> None:
    raw = stored(type_name)
    grid, old = grid_of(type_name, raw), dequantize(type_name, raw)
    wanted = (old + np.random.default_rng(3).standard_normal(old.shape) * np.abs(old).mean() / 4).astype(np.float32)
    error = np.abs(grid.values(grid.nearest(wanted)) - wanted)
    for code in range(len(grid.levels.values)):
        other = np.abs(grid.values(np.full(old.shape, code, np.uint8)) - wanted)
        assert (error <= other + 1e-5).all()


@by_type
def test_values_of_the_grid_keep_their_place(type_name: str) -> None:
    raw = stored(type_name)
    grid, old = grid_of(type_name, raw), dequantize(type_name, raw)
    np.testing.assert_allclose(grid.values(grid.nearest(old)), old, atol=1e-5)


@by_type
def test_within_the_range_rounding_errs_by_half_a_step_at_most(type_name: str) -> None:
    grid = grid_of(type_name, stored(type_name))
    low, high, step = grid.levels.values[0], grid.levels.values[-1], np.diff(grid.levels.values).max()
    share = np.random.default_rng(4).uniform(0, 1, (6, N_COLS))
    scale, offset = (np.repeat(part, grid.group, axis=1) for part in (grid.scale, grid.offset))
    wanted = ((low + share * (high - low)) * scale + offset).astype(np.float32)
    assert (np.abs(grid.values(grid.nearest(wanted)) - wanted) <= np.abs(scale) * step / 2 * 1.001 + 1e-6).all()
