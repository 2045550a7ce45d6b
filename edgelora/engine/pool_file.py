"""The GGUF adapter of zeros that llama.cpp loads as the pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from edgelora.gguf.facts import LORA_A, LORA_B

Shape = tuple[int, int]
"""(n_out, n_in) of a base tensor, numpy order."""


def write_pool_file(
    path: Path, arch: str, shapes: Mapping[str, Shape], rows: int, dtype: np.dtype[np.floating]
) -> None:
    """Write an adapter of ``rows`` rank rows, all zero, for the base tensors of ``shapes``.

    ``adapter.lora.alpha`` is 0, so that llama.cpp applies no factor of its own (``get_scale``, llama-adapter.h): the
    mask carries every scale. The data is a hole in the file: reading gives zeros and the disk is not touched.
    """
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    size = 0
    for name, (n_out, n_in) in shapes.items():
        for suffix, shape in ((LORA_A, (rows, n_in)), (LORA_B, (n_out, rows))):
            n_bytes = shape[0] * shape[1] * dtype.itemsize
            writer.add_tensor_info(name + suffix, shape, dtype, n_bytes)
            size += gguf.GGUFWriter.ggml_pad(n_bytes, writer.data_alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    data_start = gguf.GGUFWriter.ggml_pad(path.stat().st_size, gguf.GGUF_DEFAULT_ALIGNMENT)
    with path.open("r+b") as file:
        file.truncate(data_start + size)
