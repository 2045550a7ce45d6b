"""What a merge reads values from: a tensor of the base, of a source in any form, or one that is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Readable(Protocol):
    """A tensor. Its rows count through all matrices of a stack."""

    @property
    def name(self) -> str:
        """Its name in a GGUF."""

    @property
    def type_name(self) -> str:
        """The ggml type of its rows, in upper case."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in GGUF order, the row length first."""

    @property
    def n_rows(self) -> int:
        """Number of rows, those of all its matrices."""

    def rows(self, first: int, count: int) -> NDArray[np.uint8]:
        """The bytes of ``count`` rows from ``first`` on, uint8 ``[count, row_bytes]``."""
