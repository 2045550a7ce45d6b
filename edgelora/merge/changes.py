"""What happens to the values of one tensor of the base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TensorChange(Protocol):
    """What is done to the values of a tensor. It may be applied to any rows, in any order, by several threads."""

    def apply(self, first_row: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The new values of the rows from ``first_row`` on, whose old ones are ``values [n, n_cols]``.

        Rows count through all matrices of a stack. ``values`` is left as it is.
        """
