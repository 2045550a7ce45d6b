"""What is kept of the inputs of a weight: the diagonal of H = sum of x x^T, or every x, of which H is made when needed.

For a few thousand tokens the inputs of a wide weight take less room than H, and they need only be read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    """H, f32 [n_in, n_in], by the name of the weight: made of its mapped inputs when asked for, and held until the
    next one is."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._latest: tuple[Path, NDArray[np.float32]] | None = None

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        file = self._files[name]
        latest = self._latest
        if latest is None or latest[0] != file:
            self._latest = None  # two would be held at a time
            inputs = np.asarray(np.load(file, mmap_mode="r"))
            latest = self._latest = (file, inputs.T @ inputs)
        return latest[1]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
