"""PEFT's LORA type: pairs of factors, in several arrangements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgelora_convert.peft.experts import TargetParameters
from edgelora_convert.peft.names import FACTOR_BIAS
from edgelora_convert.peft.scaling import Scaling
from edgelora_convert.peft.tensors import factors, required
from edgelora_convert.peft.token_rows import trained_beside
from edgelora_convert.peft.variants import BlockDiagonal, pooled
from edgelora_convert.update import Kind, Update, Whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora_convert.peft.changes import Adapter, Change, ReadModule
    from edgelora_convert.peft.tensors import Parts

MAGNITUDE = "lora_magnitude_vector"
PARAMETERS = frozenset(
    {
        *("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"),
        *("trainable_tokens_delta", MAGNITUDE, FACTOR_BIAS),
    }
)
TRAINING_ONLY = frozenset({"lora_velora_embed"})
"""What VeLoRA saves beside its factors; only its gradients use it (peft/tuners/lora/variants.py)."""


def lora(adapter: Adapter) -> ReadModule:
    """A reader of LORA modules: dW = scale·B·A (peft/tuners/lora/layer.py, Linear and Embedding.get_delta_weight).

    ``fan_in_fan_out`` concerns how the base stores its weight, not A and B.
    """
    scaling = Scaling.of(adapter.fields, "lora_alpha")
    parameters = TargetParameters(adapter, scaling)
    blocks = BlockDiagonal.of(adapter.fields)
    tokens = trained_beside(adapter)
    group = adapter.fields.count("qalora_group_size") if adapter.fields.flag("use_qalora") else 0

    def scaled(module: str, rank: int) -> float:
        adapter.compare_rank(module, scaling.ranks[module], rank)
        return scaling.scale_of(module, rank)

    def linear(module: str, parts: Parts) -> Iterable[Change]:
        if parameter := parameters.of(module):
            return parameters.changes(parameter, parts)
        expanded = blocks.expanded(module, parts)
        a, b = expanded if expanded else factors(parts, "lora_A", "lora_B")
        update = adapter.check_size(_rescaled(Update(module, a, b, scaled(module, b.shape[1])), parts))
        return [pooled(update, group) if group else update]

    def embedding(module: str, parts: Parts) -> Iterable[Change]:
        a, b = factors(parts, "lora_embedding_A", "lora_embedding_B")
        update = Update(module, a, b, scaled(module, b.shape[1]), Kind.EMBEDDING)
        return [adapter.check_size(_rescaled(update, parts))]

    def read(module: str, parts: Parts) -> Iterable[Change]:
        if parts.keys() & {"lora_A", "lora_B"}:
            yield from linear(module, parts)
        if parts.keys() & {"lora_embedding_A", "lora_embedding_B"}:
            yield from embedding(module, parts)
        if "trainable_tokens_delta" in parts:
            yield tokens(module, parts)
        if FACTOR_BIAS in parts:
            rank = factors(parts, "lora_A", "lora_B")[0].shape[0]
            yield Whole(module, "bias", required(parts, FACTOR_BIAS, 1), added=scaling.scale_of(module, rank))

    return read


def _rescaled(update: Update, parts: Parts) -> Update:
    """With the magnitudes of a DoRA (peft/tuners/lora/dora.py), where there are some."""
    if MAGNITUDE not in parts:
        return update
    return replace(update, magnitude=required(parts, MAGNITUDE, 1))
