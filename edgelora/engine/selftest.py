"""Does the mask work with this llama.cpp, this base and this machine? Asked once, before the first adapter is used.

Two made-up adapters become resident in the pool, and one batch decodes the base beside the second of them. Both must
give what llama.cpp's own way gives, up to rounding: a quantized base can amplify one last bit to a few percent of the
logits (docs/engine.md), so the adapters are made strong, and the difference is judged against their effect.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from edgelora.engine.factors import prepare
from edgelora.engine.pool import Pool
from edgelora.engine.pool_file import factor_shapes
from edgelora.engine.probe import Probe, relative_difference
from edgelora.engine.rows import PoolFullError
from edgelora.errors import EdgeloraError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.fit import EMBEDDING
from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.header import Header, TensorInfo
from edgelora.native.context import NativeAdapter
from edgelora.native.model import Model
from edgelora.types import AdapterFile, KVType

RANK = 4
SMALLEST_EFFECT = 0.1
"""The made-up adapter must change the logits by at least this much of their norm, or the test would prove nothing."""

TOLERANCE = 0.25
"""Largest difference to llama.cpp's own logits, as a share of the adapter's effect; a wrong mask gives 1."""

NARROWEST = 32
"""Smaller matrices are no projections (convolutions, gates) and are left alone."""


def self_test(model: Model, base: Header, pool: Pool, probe: Probe, dtype: KVType) -> str:
    """Why the pool must not be used; empty if all is well. The pool must be empty, and is empty afterwards."""
    try:
        return _compare(model, base, pool, probe, dtype)
    except PoolFullError:
        return "the memory for adapters is too small for a pool"
    except EdgeloraError as error:
        return error.message


def _compare(model: Model, base: Header, pool: Pool, probe: Probe, dtype: KVType) -> str:
    targets = _targets(base)
    with tempfile.TemporaryDirectory(prefix="edgelora-") as folder:
        files = [_write(Path(folder) / f"{seed}.gguf", base, targets, dtype, seed) for seed in (1, 2)]
        try:
            for file in files:
                pool.add(prepare(file, base, dtype))
            pooled = probe.pooled(pool, files[1].sha256)
        finally:
            pool.close()
        native_adapter = NativeAdapter(model, files[1].path)
        try:
            native = probe.native(native_adapter)
        finally:
            native_adapter.free()
    if not native.effect >= SMALLEST_EFFECT:
        return "adapters do not change what this base computes"
    for what, ours, theirs in (
        ("the base beside an adapter", pooled.base, native.base),
        ("an adapter", pooled.adapted, native.adapted),
    ):
        difference = relative_difference(ours, theirs)
        if not difference <= TOLERANCE * native.effect:
            return f"through the pool, logits of {what} differ from llama.cpp's own by {difference:.1e}"
    return ""


def _targets(base: Header) -> Mapping[str, TensorInfo]:
    """The projections of the first and the last block, one stack of experts, and the token embedding where that may be.

    One stack shows what all would; a pool for all experts of two blocks can be larger than the rest of the base.
    """
    blocks = sorted({int(match[1]) for name in base.tensors if (match := re.match(r"blk\.(\d+)\.", name))})
    prefixes = tuple(f"blk.{block}." for block in (*blocks[:1], *blocks[-1:]))
    targets = {
        name: info
        for name, info in base.tensors.items()
        if name.startswith(prefixes)
        and name.endswith(".weight")
        and "norm" not in name
        and len(info.shape) in (2, 3)
        and min(info.shape[:2]) >= NARROWEST
    }
    stacks = [name for name, info in targets.items() if len(info.shape) == 3]
    targets = {name: info for name, info in targets.items() if name not in stacks[1:]}
    if "output.weight" in base.tensors and EMBEDDING in base.tensors:
        targets[EMBEDDING] = base.tensors[EMBEDDING]
    return targets


def _write(path: Path, base: Header, targets: Mapping[str, TensorInfo], dtype: KVType, seed: int) -> AdapterFile:
    """A random adapter that adds to each product about half the norm of its input."""
    rng = np.random.default_rng(seed)
    numpy_dtype = {"f16": np.float16, "f32": np.float32}[dtype]
    writer = gguf.GGUFWriter(path, base.get("general.architecture", ""))
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    for name, info in targets.items():
        shapes = factor_shapes(name, info, RANK)
        n_in, n_out = info.shape[:2]
        a = rng.standard_normal(shapes.a, np.float32) / np.sqrt(n_in)
        b = rng.standard_normal(shapes.b, np.float32) / np.sqrt(RANK * n_out) * np.sqrt(n_in) / 2
        writer.add_tensor(name + LORA_A, a.astype(numpy_dtype))
        writer.add_tensor(name + LORA_B, b.astype(numpy_dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return AdapterFile(path.stem, path, file_sha256(path))
