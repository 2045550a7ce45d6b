"""One tensor as it lies in a file: where its bytes are, and how they become float32."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from edgelora.errors import ConversionError
from edgelora.gguf.data import bf16_to_f32

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MAX_DIMS = 8
"""No adapter has tensors of more dimensions."""

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types whose values a LoRA factor can have, by the names safetensors gives them."""


class UnreadableFileError(Exception):
    """A file of tensors that cannot be used. The text says what it is, and what to do."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file: ``shape`` as PEFT sees it, ``start`` in bytes from the beginning of the file.

    ``strides`` are distances in elements; None is row after row, without gaps.
    """

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    strides: tuple[int, ...] | None = None

    @property
    def is_float(self) -> bool:
        """Whether :meth:`load` can read it."""
        return self.dtype in _FLOATS

    def rows(self, first: int, count: int) -> StoredTensor:
        """``count`` rows of a tensor of floats along its first axis."""
        step = self.strides[0] if self.strides else math.prod(self.shape[1:])
        start = self.start + first * step * np.dtype(_FLOATS[self.dtype]).itemsize
        return replace(self, shape=(count, *self.shape[1:]), start=start)

    def row(self, index: int) -> StoredTensor:
        """One row of a tensor of floats along its first axis, which it loses."""
        return replace(self.rows(index, 1), shape=self.shape[1:], strides=self.strides and self.strides[1:])

    @property
    def transposed(self) -> StoredTensor:
        """A matrix with its rows as columns. Whichever of the new rows are loaded, all of the bytes are read."""
        strides = self.strides or (self.shape[1], 1)
        return replace(self, shape=self.shape[::-1], strides=strides[::-1])

    def load(self) -> NDArray[np.float32]:
        """The values. F64 is rounded; what is beyond float32 becomes infinite.

        Raises ConversionError where the file is no longer what it was.
        """
        values = self._as_stored()
        if self.dtype == "BF16":
            return bf16_to_f32(values.view(np.uint16))
        with np.errstate(over="ignore"):
            return values.astype(np.float32, copy=False)

    def _as_stored(self) -> NDArray[np.generic]:
        stored = np.dtype(_FLOATS[self.dtype])
        if self.strides is None:
            return self._elements(stored, math.prod(self.shape)).reshape(self.shape)
        flat = self._elements(stored, span(self.shape, self.strides))
        steps = tuple(step * stored.itemsize for step in self.strides)
        return np.ascontiguousarray(as_strided(flat, self.shape, steps, writeable=False))

    def _elements(self, stored: np.dtype[Any], count: int) -> NDArray[np.generic]:
        try:
            found = np.fromfile(self.path, stored, count, offset=self.start)
        except OSError as error:
            raise ConversionError(str(self.path), [f"it cannot be read ({error.strerror or error})"]) from None
        if found.size < count:
            raise ConversionError(
                str(self.path), [f"it was cut off while it was read, within {self.name}; try again when it is complete"]
            )
        return found


def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements lie from the first to the last of a tensor, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((extent - 1) * step for extent, step in zip(shape, strides, strict=True))
