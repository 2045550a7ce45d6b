"""Writes synthetic bases and adapters."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
from edgelora_convert.encode import Factor
from edgelora_convert.write import AdapterContent, write_adapter
from gguf import GGMLQuantizationType, GGUFWriter

from edgelora.errors import UsageError
from edgelora.gguf.facts import LORA_A, LORA_B, BaseFacts, short_target
from edgelora.gguf.ggml_types import FILE_TYPES, GGML_TYPES
from edgelora.gguf.reader import read_header
from edgelora.gguf.replacing import replacing
from synthetic.blocks import random_tensor
from synthetic.shapes import Shape, TensorPlan, tensor_plans
from synthetic.vocabulary import add_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Q4_K_M = next(number for number, name in FILE_TYPES.items() if name == "Q4_K_M")
SHORT_TARGETS = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
RELATIVE_CHANGE = 0.3
"""How large an adapter's change of a synthetic weight is, relative to the weight: enough to change every answer."""


def write_base(out: Path, shape: Shape, seed: int) -> None:
    """Write a base of this shape. The same seed gives the same bytes."""
    plans = list(tensor_plans(shape))
    needed = sum(_nbytes(plan) for plan in plans)
    if shutil.disk_usage(out.parent).free < needed:
        raise UsageError(f"{out.parent} has too little room: {needed / 1e9:.1f} GB are needed")
    with replacing(out) as temporary:
        writer = GGUFWriter(temporary, "qwen2")
        _add_metadata(writer, shape)
        for plan in plans:
            kind = GGMLQuantizationType[plan.type_name]
            writer.add_tensor_info(plan.name, plan.shape, np.dtype(np.float32), _nbytes(plan), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for index, plan in enumerate(plans):
            rng = np.random.default_rng([seed, index])
            writer.write_tensor_data(random_tensor(plan.shape, plan.type_name, plan.deviation, rng))
        writer.close()


def write_adapters(folder: Path, base: Path, count: int, rank: int, targets: Iterable[str], seed: int) -> list[Path]:
    """Write ``count`` F16 adapters with random factors for the tensors of ``base`` that ``targets`` name."""
    facts = BaseFacts.of(read_header(base))
    wanted = {SHORT_TARGETS.get(target, target) for target in targets}
    shapes = {name: info.shape for name, info in facts.tensors.items() if name.endswith(".weight")}
    adapted = {name: shape for name, shape in shapes.items() if short_target(name) in wanted and len(shape) == 2}
    missing = wanted - set(map(short_target, adapted))
    if missing:
        raise UsageError(f"{base} has no tensors {', '.join(sorted(missing))}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        path = folder / f"adapter-{index + 1}-r{rank}.gguf"
        content = AdapterContent(
            arch=facts.arch,
            alpha=float(rank),
            metadata={"general.name": path.stem},
            tensors={name: factor for pair in adapted.items() for name, factor in _pair(*pair, rank, rng)},
        )
        with replacing(path) as temporary:
            write_adapter(temporary, content)
        written.append(path)
    return written


def _pair(name: str, shape: tuple[int, ...], rank: int, rng: np.random.Generator) -> Iterable[tuple[str, Factor]]:
    n_in, n_out = shape
    a = rng.standard_normal((rank, n_in), np.float32) / n_in**0.5
    b = rng.standard_normal((n_out, rank), np.float32) * (RELATIVE_CHANGE / rank**0.5)
    yield name + LORA_A, Factor(a.astype(np.float16), "F16")
    yield name + LORA_B, Factor(b.astype(np.float16), "F16")


def _nbytes(plan: TensorPlan) -> int:
    kind = next(kind for kind in GGML_TYPES.values() if kind.name == plan.type_name)
    return int(np.prod(plan.shape)) // kind.block_size * kind.type_size


def _add_metadata(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_type("model")
    writer.add_name(f"Synthetic {shape.name.upper()} (random weights)")
    writer.add_file_type(Q4_K_M)
    writer.add_quantization_version(2)
    writer.add_context_length(32768)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    add_vocabulary(writer, shape.vocab)
