"""Which type each tensor gets when a whole model is quantized: the mixes of llama-quantize.

Tensors that matter more get more bits: the output matrix; attention values and the way down of the feed-forward in the
first and last eighth of the layers and in every third between. Vectors and small delicate matrices stay. Sources:
llama_tensor_get_type_impl, tensor_allows_quantization and tensor_type_fallback in src/llama-quant.cpp of llama.cpp, but
for what it does for single architectures (falcon, glm5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.native.quantize import TYPES

if TYPE_CHECKING:
    from edgelora.gguf.header import Header, TensorInfo


@dataclass(frozen=True, slots=True)
class Mix:
    """The types of most tensors, and of those that matter more."""

    most: str
    more: str


MIXES: Mapping[str, Mix] = {
    "f16": Mix("F16", "F16"),
    "q8_0": Mix("Q8_0", "Q8_0"),
    "q6_k": Mix("Q6_K", "Q6_K"),
    "q4_k_m": Mix("Q4_K", "Q6_K"),
    "q5_k_m": Mix("Q5_K", "Q6_K"),
}

_STAY = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid|altup|laurel|per_layer_model_proj|ssm_conv1d|shortconv\.conv"
    r"|indexer\.[kq]_proj|time_mix_(first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)\.|attn_rel_b\."
    r"|^(position_embd|token_types)\."
)
"""Small matrices that are delicate."""

_VALUES = re.compile(r"attn_(v|qkv|kv_b)\.weight")

_NARROWER_BLOCKS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "Q5_0": "F16", "Q5_1": "F16", "Q8_0": "F16"}
"""What is taken for rows that are no whole blocks of a type."""

_OF_EIGHT_EXPERTS = 8
_LAYERS_OF_70B = 80
"""Models of this many layers share each value between eight heads and get five bits for it, not four."""


def mixed_types(mix: Mix, model: Header) -> dict[str, str]:
    """The type of every tensor of ``model``; those that stay as they are keep theirs."""
    matters = _Matters(model)
    return {name: _type_of(mix, info, matters) for name, info in model.tensors.items()}


class _Matters:
    """What the rules ask about a model."""

    def __init__(self, model: Header) -> None:
        arch = model.get("general.architecture", "")
        self.n_layers = model.get(f"{arch}.block_count", 0)
        self.has_eight_experts = model.get(f"{arch}.expert_count", 0) == _OF_EIGHT_EXPERTS
        self.output = "output.weight" if "output.weight" in model.tensors else "token_embd.weight"
        values = sorted((name for name in model.tensors if _VALUES.search(name)), key=_layer)
        self._values = {name: place for place, name in enumerate(values)}

    def more(self, name: str) -> bool:
        """Is it one of the values or ways down that get more bits?"""
        if name in self._values:
            return _important(self._values[name], len(self._values))
        return "ffn_down" in name and _important(_layer(name), self.n_layers)


def _type_of(mix: Mix, info: TensorInfo, matters: _Matters) -> str:
    if len(info.shape) < 2 or not info.name.endswith("weight") or _STAY.search(info.name):
        return info.type_name
    chosen = _chosen(mix, info.name, matters) if _is_quantized(mix) else mix.most
    while info.shape[0] % TYPES[chosen].block_size:
        chosen = _NARROWER_BLOCKS[chosen]
    return chosen


def _is_quantized(mix: Mix) -> bool:
    return TYPES[mix.most].block_size > 1


def _chosen(mix: Mix, name: str, matters: _Matters) -> str:
    if name == matters.output:
        return mix.most if mix.most == "Q8_0" else "Q6_K"
    if matters.has_eight_experts and (_VALUES.search(name) or "attn_k.weight" in name):
        return "Q8_0"
    if matters.more(name):
        return mix.more
    needs_five_bits = (matters.has_eight_experts and "attn_output.weight" in name) or (
        matters.n_layers == _LAYERS_OF_70B and _VALUES.search(name)
    )
    return "Q5_K" if needs_five_bits and mix.most == "Q4_K" else mix.most


def _important(place: int, count: int) -> bool:
    """use_more_bits."""
    return place < count // 8 or place >= 7 * count // 8 or (place - count // 8) % 3 == 2


def _layer(name: str) -> int:
    found = re.search(r"blk\.(\d+)\.", name)
    return int(found[1]) if found else -1
