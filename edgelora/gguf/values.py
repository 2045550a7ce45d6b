"""Are the numbers in an adapter usable? llama.cpp does not look; one NaN silently ruins every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.gguf.data import tensor_data

if TYPE_CHECKING:
    from edgelora.gguf.header import Header


def check_values(adapter: Header) -> list[str]:
    """One problem for every tensor that holds NaN or infinity. Reads all tensor data."""
    return [
        f"tensor {info.name!r} holds values that are not finite"
        for info in adapter.tensors.values()
        if not np.isfinite(tensor_data(adapter, info)).all()
    ]
