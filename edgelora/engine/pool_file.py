"""The shapes of the pool's factors, and the GGUF adapter of zeros that llama.cpp loads as the pool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np

from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.fit import EMBEDDING
from edgelora.gguf.header import TensorInfo

Shape = tuple[int, ...]


class FactorShapes(NamedTuple):
    """The shapes of one base tensor's factors with some number of rows, in numpy order, as llama.cpp holds them."""

    a: Shape
    b: Shape


def factor_shapes(name: str, info: TensorInfo, rows: int) -> FactorShapes:
    """A [rows, n_in] and B [n_out, rows]; a stack of experts has stacks of these.

    The token embedding is looked up, so its A is [n_vocab, rows] and its B [n_embd, rows] (``build_inp_embd``,
    src/llama-graph.cpp).
    """
    n_in, n_out, *n_expert = info.shape
    if name == EMBEDDING:
        return FactorShapes((n_out, rows), (n_in, rows))
    return FactorShapes((*n_expert, rows, n_in), (*n_expert, n_out, rows))


def rank_axis(name: str) -> int:
    """Which axis of A the rows are; of B it is the last one."""
    return -1 if name == EMBEDDING else -2


def write_pool_file(path: Path, arch: str, shapes: Mapping[str, FactorShapes], dtype: np.dtype[np.floating]) -> None:
    """Write an adapter of zeros for the base tensors of ``shapes``.

    ``adapter.lora.alpha`` is 0, so that llama.cpp applies no factor of its own (``get_scale``, llama-adapter.h): the
    mask carries every scale. The data is a hole in the file: reading gives zeros and the disk is not touched.
    """
    writer = gguf.GGUFWriter(path, arch)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    size = 0
    for name, (a, b) in shapes.items():
        for suffix, shape in ((LORA_A, a), (LORA_B, b)):
            n_bytes = int(np.prod(shape)) * dtype.itemsize
            writer.add_tensor_info(name + suffix, shape, dtype, n_bytes)
            size += gguf.GGUFWriter.ggml_pad(n_bytes, writer.data_alignment)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    data_start = gguf.GGUFWriter.ggml_pad(path.stat().st_size, gguf.GGUF_DEFAULT_ALIGNMENT)
    with path.open("r+b") as file:
        file.truncate(data_start + size)
