"""A weight of the base as the framework that trained the adapter knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.errors import GGUFError
from edgelora_convert.update import Kind, UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edgelora.gguf.header import Header, TensorInfo
    from edgelora_convert.layout.resolve import Located

    ReadRows = Callable[[TensorInfo, Sequence[int]], NDArray[np.float32]]
    """Some rows of a tensor of the base, dequantized. Raises GGUFError."""


class BaseWeight:
    """What ``located`` names in the base with this header, whose rows ``read`` gives."""

    def __init__(self, header: Header, located: Located, kind: Kind, read: ReadRows) -> None:
        self._header = header
        self._read = read
        self._located = located
        self._rearranged = any(part.rows or part.columns or part.transposed for part in located.parts)
        self._kind = kind

    @property
    def arch(self) -> str:
        """The architecture of the base."""
        return self._header.get("general.architecture", "")

    @property
    def shape(self) -> tuple[int, int]:
        """[n_out, n_in] of a layer (of one expert, where there are several), [vocabulary, width] of an embedding."""
        return self._located.shape

    def rows(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Some rows, dequantized: float32 [len(indices), columns]. Raises UnusableError where they are not at hand."""
        if self._rearranged and self._kind is not Kind.EMBEDDING:
            raise UnusableError("the base keeps its rows in another order")
        (slot,) = self._located.slots
        try:
            return self._read(slot.tensor, [slot.first + index for index in indices])
        except GGUFError as error:
            raise UnusableError(f"its rows in the base are needed, but: {error.message}") from None
