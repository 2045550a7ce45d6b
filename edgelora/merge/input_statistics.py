"""What is kept of the inputs of a weight: all of H = sum of x x^T, or its diagonal."""

from __future__ import annotations

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

    def result(self) -> NDArray[np.float32]:
        """f32 [n_in], or [n_experts, n_in]."""
        return self._sum.astype(np.float32)


class Full:
    """All inputs, of which the product is made at the end: one product is quicker than one for each piece."""

    def __init__(self) -> None:
        self._pieces: list[Values] = []

    def add(self, weight: str, values: Values, choice: Choice | None) -> None:
        """A :class:`~edgelora.merge.activations.Consumer`, for weights without experts."""
        self._pieces.append(values.copy())

    def result(self) -> NDArray[np.float32]:
        """f32 [n_in, n_in]."""
        inputs = np.concatenate(self._pieces)
        return inputs.T @ inputs
