"""What each form of adapter does to any rows, against plain algebra in float64."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.layout.wholes import Entries, MatrixRows
from edgelora_convert.storage.safetensors_file import safetensors_in
from safetensors.numpy import save_file

from edgelora.merge.pieces import LowRank, NewEntries, NewRows, Recent, RescaledColumns, RescaledRows
from edgelora.merge.piecewise import PiecewiseChange

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora_convert.storage.stored import StoredTensor

    from edgelora.merge.pieces import RowChange

RNG = np.random.default_rng(0)
N_ROWS, N_COLS, RANK = 30, 12, 3
W = RNG.standard_normal((N_ROWS, N_COLS), np.float32)
LEFT, RIGHT = RNG.standard_normal((10, RANK), np.float32), RNG.standard_normal((RANK, N_COLS), np.float32)
HERE = slice(5, 15)
CHANGED = W[HERE].astype("f8") + LEFT.astype("f8") @ RIGHT
MAGNITUDE = RNG.random(10, np.float32) + 1
COLUMNS = RNG.random(N_COLS, np.float32) + 1
COLUMN_NORMS = np.linalg.norm(CHANGED, axis=0).astype("f4")


def stored(folder: Path, values: np.ndarray) -> StoredTensor:
    path = folder / "values.safetensors"
    save_file({"values": values}, path)
    with path.open("rb") as file:
        return safetensors_in(path, file, path.stat().st_size)["values"]


def applied(change: RowChange, scale: float, first: int, count: int, matrix: int = 0) -> np.ndarray:
    whole = PiecewiseChange({matrix: [(scale, change)]}, N_ROWS)
    return whole.apply(matrix * N_ROWS + first, W[first : first + count])


FORMS = {
    "low rank": (LowRank(5, 10, lambda: (LEFT, RIGHT)), CHANGED),
    "rescaled rows": (
        RescaledRows(5, 10, lambda: (LEFT, RIGHT), MAGNITUDE),
        CHANGED * (MAGNITUDE / np.linalg.norm(CHANGED, axis=1))[:, None],
    ),
    "rescaled columns": (
        RescaledColumns(5, 10, lambda: (LEFT, RIGHT), COLUMNS, lambda: COLUMN_NORMS),
        CHANGED * (COLUMNS / np.linalg.norm(CHANGED, axis=0)),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scale", [1.0, -0.7, 0.25])
@pytest.mark.parametrize(("first", "count"), [(0, 30), (0, 5), (4, 3), (7, 2), (12, 10), (15, 9)])
def test_any_rows_change_by_the_scaled_difference(form: str, scale: float, first: int, count: int) -> None:
    change, expected = FORMS[form]
    whole = W.astype("f8")
    whole[HERE] += scale * (expected - W[HERE])
    before = W.copy()
    np.testing.assert_allclose(applied(change, scale, first, count), whole[first : first + count], rtol=1e-5, atol=1e-5)
    assert np.array_equal(W, before)


def test_rows_without_a_direction_stay_zero() -> None:
    nothing = np.zeros((10, RANK), np.float32)
    change = RescaledRows(5, 10, lambda: (nothing, RIGHT), MAGNITUDE)
    assert not change.delta(0, np.zeros((10, N_COLS), np.float32)).any()


@pytest.mark.parametrize(("first", "count"), [(0, 30), (6, 3), (14, 4)])
def test_new_rows_are_chosen_rows_and_columns(tmp_path: Path, first: int, count: int) -> None:
    new = RNG.standard_normal((20, 15), np.float32)
    rows, columns = RNG.permutation(20)[:10], RNG.permutation(15)[:N_COLS]
    parameter = MatrixRows("x", 5, 10, None, stored(tmp_path, new), rows, columns)
    whole = W.copy()
    whole[HERE] = new[rows][:, columns]
    np.testing.assert_allclose(applied(NewRows(parameter), 1, first, count), whole[first : first + count], atol=1e-6)


def test_entries_of_a_vector(tmp_path: Path) -> None:
    old, values = RNG.standard_normal((1, 9), np.float32), stored(tmp_path, np.arange(4, dtype=np.float32))
    order = np.array([2, 0, 3, 1])
    replaced = NewEntries(Entries("x", 9, 5, values, order, shift=1.0)).delta(0, old) + old
    np.testing.assert_allclose(replaced[0], [*old[0, :5], 3, 1, 4, 2], atol=1e-6)
    added = NewEntries(Entries("x", 9, 0, values, None, added=0.5)).delta(0, old)
    np.testing.assert_allclose(added[0], [0, 0.5, 1, 1.5, 0, 0, 0, 0, 0])


def test_changes_are_sums_and_know_their_matrix() -> None:
    (one, _), (other, _) = FORMS["low rank"], FORMS["rescaled rows"]
    both = PiecewiseChange({1: [(0.5, one), (2.0, other)]}, N_ROWS).apply(N_ROWS, W)
    parts = applied(one, 0.5, 0, N_ROWS, 1) + applied(other, 2.0, 0, N_ROWS, 1) - W
    np.testing.assert_allclose(both, parts, rtol=1e-5, atol=1e-5)
    assert np.array_equal(PiecewiseChange({1: [(1.0, one)]}, N_ROWS).apply(0, W), W)


def test_what_was_loaded_last_is_remembered_and_no_more() -> None:
    loaded: list[int] = []

    def load(key: int) -> tuple[np.ndarray, np.ndarray]:
        loaded.append(key)
        return np.zeros(100, np.float32), np.zeros(100, np.float32)

    recent = Recent(limit=2000)  # two of 800 bytes each
    for key in (1, 2, 1, 3, 1, 2):
        recent.get(key, lambda key=key: load(key))
    assert loaded == [1, 2, 3, 2]


def test_threads_load_once() -> None:
    loaded, recent = [], Recent()

    def load() -> tuple[np.ndarray, np.ndarray]:
        loaded.append(1)
        return np.zeros(4, np.float32), np.zeros(4, np.float32)

    threads = [threading.Thread(target=lambda: recent.get("key", load)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [1]
