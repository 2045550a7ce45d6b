"""A safetensors file: validated by the safetensors library, its values read as float32 without torch.

The library's numpy front end has no BF16, so the bytes are viewed here; where they lie is taken from the header,
which the library has checked first (length, JSON, types, offsets, overlaps).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from edgelora.gguf.data import bf16_to_f32

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from edgelora_convert.problems import Problems

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""Types whose values a LoRA factor can have."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file: ``shape`` as PEFT sees it, ``start`` in bytes from the beginning of the file."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def is_float(self) -> bool:
        """Whether :meth:`load` can read it."""
        return self.dtype in _DTYPES

    def load(self) -> NDArray[np.float32]:
        """The values. F64 is rounded; what is beyond float32 becomes infinite."""
        stored = np.dtype(_DTYPES[self.dtype])
        count = int(np.prod(self.shape, dtype=np.int64))
        values = np.fromfile(self.path, stored, count, offset=self.start).reshape(self.shape)
        if self.dtype == "BF16":
            return bf16_to_f32(values)
        with np.errstate(over="ignore"):
            return values.astype(np.float32, copy=False)


def open_tensors(path: Path, problems: Problems) -> Mapping[str, StoredTensor]:
    """The tensors of a safetensors file, by name. Raises ConversionError where the file is damaged."""
    try:
        with safe_open(path, "numpy"):
            pass
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        problems.stop("weights", f"{path.name} is damaged or incomplete ({error}); download or copy it again")
    header.pop("__metadata__", None)
    return {
        name: StoredTensor(path, name, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])
        for name, entry in header.items()
    }
