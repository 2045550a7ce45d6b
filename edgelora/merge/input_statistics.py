"""What is kept of the inputs of a weight: the diagonal of H = sum of x x^T, or every x, of which H is made when needed.

For a few thousand tokens the inputs of a wide weight take less room than H, so the text is read only once for all
weights, and H takes room only where it is looked at. All of it is mapped, not held in memory.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgelora.errors import EngineError
from edgelora.merge.activations import Choice, Group, Values


class Diagonal:
    """The sum of squares for each input; with experts, for each expert over the tokens that chose it."""

    def __init__(self, group: Group) -> None:
        shape = (group.n_experts, group.n_in) if group.n_experts else (group.n_in,)
        self._sum = np.zeros(shape, np.float64)

    def add(self, weight: str, values: Values, choice: Choice | None) -> None:
        """A :class:`~edgelora.merge.activations.Consumer`."""
        squares = np.square(values, dtype=np.float64)
        if choice is None:
            self._sum += squares.sum(0)
        else:
            np.add.at(self._sum, choice, np.broadcast_to(squares, (*choice.shape, squares.shape[-1])))

    def save(self, file: Path) -> None:
        """Write f32 [n_in], or [n_experts, n_in]."""
        np.save(file, self._sum.astype(np.float32))


class Inputs:
    """Every input, in a mapped file, f32 [n_tokens, n_in]."""

    def __init__(self, group: Group, n_tokens: int, file: Path) -> None:
        self._rows = np.lib.format.open_memmap(file, "w+", np.float32, (n_tokens, group.n_in))
        self._filled = 0

    def add(self, weight: str, values: Values, choice: Choice | None) -> None:
        """A :class:`~edgelora.merge.activations.Consumer`, for weights without experts.

        A weight that a graph uses more than once fills the file before the text ends; then that is enough.
        """
        taken = values[: len(self._rows) - self._filled]
        self._rows[self._filled : self._filled + len(taken)] = taken
        self._filled += len(taken)


class Products(Mapping[str, NDArray[np.float32]]):
    """H, f32 [n_in, n_in], by the name of the weight: made of its inputs when first asked for, and then mapped too.

    Threads may ask. A look-up raises EngineError where there is no room for the file of H.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        """``files`` of :class:`Inputs`; weights of one group have the same one."""
        self._files = files
        self._locks = {file: threading.Lock() for file in files.values()}
        self._made: dict[Path, NDArray[np.float32]] = {}

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        file = self._files[name]
        with self._locks[file]:
            if file not in self._made:
                self._made[file] = _product(file)
            return self._made[file]

    def __contains__(self, name: object) -> bool:
        return name in self._files  # without making it

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def require_room(folder: Path, needed: int) -> None:
    """Raise EngineError unless ``needed`` bytes fit into ``folder``."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise EngineError(
            f"calibration needs {needed / 2**20:,.0f} MiB more disk in {folder}, and {free / 2**20:,.0f} are free",
            "Free some, or set TMPDIR to a folder with more.",
        )


def _product(file: Path) -> NDArray[np.float32]:
    inputs = np.load(file, mmap_mode="r")
    require_room(file.parent, 4 * inputs.shape[1] ** 2)
    made = file.with_suffix(".product.npy")
    np.save(made, np.asarray(inputs.T @ inputs))
    product: NDArray[np.float32] = np.load(made, mmap_mode="r")
    return product
