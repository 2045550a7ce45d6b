"""Adapters of mlx-lm: ``adapters.safetensors`` beside an ``adapter_config.json`` of its own kind.

From mlx_lm/tuner/lora.py: a layer answers W·x + scale·(x·a)·b with lora_a [n_in, rank] and lora_b [rank, n_out], so
``scale`` is the factor itself and no alpha divides it. Of an embedding, n_in is the vocabulary. A stack of experts
(LoRASwitchLinear) has lora_a [experts, rank, n_in], in older files [experts·rank, n_in], and lora_b
[experts, n_out, rank]. mlx-lm takes the weights of Transformers as they are, so rows and columns need no change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgelora_convert.limits import MAX_EXPERTS
from edgelora_convert.peft.names import is_embedding
from edgelora_convert.source import Source
from edgelora_convert.sources.mlx_config import DORA, read_mlx_config
from edgelora_convert.storage.tensor_file import StoredTensor, open_tensors
from edgelora_convert.update import Kind, Update, transposed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgelora_convert.problems import Problems
    from edgelora_convert.sources.find import MlxFolder

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[ab])")
_OTHERS = (
    (re.compile(r".+\.m"), DORA),
    (re.compile(r".+\.lora_[ab]_(scales|biases)"), "its factors are quantized; save the adapter as it was trained"),
)
_NAMES = (
    (re.compile(r"\.switch_mlp(?=\.)"), ".experts"),
    (re.compile(r"(?<=\.block_sparse_moe\.experts\.)gate_proj$"), "w1"),  # mlx_lm/models/mixtral.py
    (re.compile(r"(?<=\.block_sparse_moe\.experts\.)down_proj$"), "w2"),
    (re.compile(r"(?<=\.block_sparse_moe\.experts\.)up_proj$"), "w3"),
    (re.compile(r"^model\.h(?=\.\d+\.(?:attention|mlp\.dense_\w+)\b)"), "gpt_neox.layers"),  # mlx_lm/models/gpt_neox.py
)
"""Where the ``sanitize`` functions of mlx-lm rename modules, back to what Transformers calls them."""


def read_mlx(found: MlxFolder, problems: Problems, warnings: Problems) -> Source:
    """What mlx-lm saved in a folder. Raises ConversionError where nothing more could be found out."""
    config = read_mlx_config(found.config, problems, warnings)
    updates = tuple(_updates(open_tensors(found.weights, problems), config.scale, problems))
    if not updates and not problems:
        problems.refuse("empty", f"{found.weights.name} holds no LoRA factors")
    return Source(
        name=found.name,
        files=(found.config, found.weights),
        updates=updates,
        base_name=config.base_name,
        folder=found.folder,
    )


def _updates(tensors: Mapping[str, StoredTensor], scale: float, problems: Problems) -> Iterator[Update]:
    sides: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        factor = _FACTOR.fullmatch(name)
        if factor is None:
            _refuse_other(name, problems)
        elif not tensor.is_float:
            problems.add(factor["module"], f"its values are {tensor.dtype}; F32, F16, BF16 or F64 can be converted")
        else:
            sides.setdefault(factor["module"], {})[factor["side"]] = tensor
    for module, pair in sides.items():
        missing = [side for side in "ab" if side not in pair]
        if missing:
            problems.add(module, f"its lora_{missing[0]} is missing")
        else:
            yield from _updates_of(_in_transformers(module), pair["a"], pair["b"], scale, problems)


def _in_transformers(module: str) -> str:
    for pattern, name in _NAMES:
        module = pattern.sub(name, module)
    return module


def _refuse_other(name: str, problems: Problems) -> None:
    for pattern, reason in _OTHERS:
        if pattern.fullmatch(name):
            problems.refuse(reason, reason)
            return
    problems.add(name, "this tensor belongs to no LoRA pair")


def _updates_of(module: str, a: StoredTensor, b: StoredTensor, scale: float, problems: Problems) -> Iterator[Update]:
    if 0 in (*a.shape, *b.shape):
        problems.add(module, f"lora_a {list(a.shape)} or lora_b {list(b.shape)} is empty")
    elif len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[0]:
        kind = Kind.EMBEDDING if is_embedding(module) else Kind.LINEAR
        # LoRAEmbedding.as_linear: where input and output are one matrix, both change
        yield Update(module, transposed(a), transposed(b), scale, kind, tied=kind is Kind.EMBEDDING)
    elif len(b.shape) == 3 and b.shape[0] > MAX_EXPERTS:
        problems.add(module, f"it has {b.shape[0]} experts; llama.cpp can hold {MAX_EXPERTS}")
    elif len(b.shape) == 3 and a.shape in _shapes_of_experts(a, b):
        yield from _experts(module, a, b, scale)
    else:
        problems.add(module, f"lora_a {list(a.shape)} and lora_b {list(b.shape)} do not belong together")


def _shapes_of_experts(a: StoredTensor, b: StoredTensor) -> tuple[tuple[int, ...], ...]:
    """The two forms of lora_a that fit to a stack lora_b [experts, n_out, rank]."""
    experts, _, rank = b.shape
    return (experts, rank, a.shape[-1]), (experts * rank, a.shape[-1])


def _experts(module: str, a: StoredTensor, b: StoredTensor, scale: float) -> Iterator[Update]:
    """One update for each expert of a stack."""
    rank, stacked = b.shape[2], len(a.shape) == 3
    for expert in range(b.shape[0]):
        of_expert = a.row(expert) if stacked else a.rows(expert * rank, rank)
        yield Update(module, of_expert, b.row(expert), scale, expert=expert)
