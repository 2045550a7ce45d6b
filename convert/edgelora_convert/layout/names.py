"""What the modules of trained models are called in a GGUF: gguf's name map, used as data, and what it lacks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NUMBER = re.compile(r"(?:(?<=\.)|^)[0-9]{1,6}(?=\.)")
_EXPERT = re.compile(r"(?<=\.experts)\.([0-9]{1,6})(?=\.)")
_INNER_MODELS = re.compile(r"(?:^|(?<=\.))(?:language_model|text_model|thinker|lfm)\.")
_ROOTS = ("model.", "transformer.", "gpt_neox.", "backbone.")
"""Roots of full models, of which a bare model's names (``AutoModel``) lack theirs; PEFT stores either."""

_OTHER_MODALITIES = re.compile(
    r"(?:^|\.)(?:vision\w*|visual|audio\w*|image\w*|multi_modal_projector|mm_projector|speech\w*)\."
)

_FUSED: Mapping[str, tuple[str, ...]] = {
    "attn.kv": ("attn_kv",),
    "attn.q": ("attn_q",),
    "attention.wqkv": ("attn_qkv",),
    "attention.query_key_value": ("attn_qkv",),
    "block_sparse_moe.experts.down_proj": ("ffn_down_exps",),
    "block_sparse_moe.experts.gate_up_proj": ("ffn_gate_up_exps",),
    "block_sparse_moe.input_linear": ("ffn_gate_up_exps",),
    "block_sparse_moe.output_linear": ("ffn_down_exps",),
    "feed_forward.experts.gate_up_proj": ("ffn_gate_up_exps",),
    "block_sparse_moe.router": ("ffn_gate_inp",),
    "feed_forward.experts.down_proj": ("ffn_down_exps",),
    "ffn.proj_1": ("ffn_gate_up",),
    "mlp.experts.down_proj": ("ffn_down_exps",),
    "mlp.experts.gate_up_proj": ("ffn_gate_up_exps",),
    "mlp.experts.up_gate_proj": ("ffn_gate_up_exps",),
    "mlp.gate_up_proj": ("ffn_gate_up",),
    "mlp.shared_expert.gate_up_proj": ("ffn_gate_up_shexp",),
    "mlp.shared_experts.gate_up_proj": ("ffn_gate_up_shexp",),
    "mlp.shared_experts.up_gate_proj": ("ffn_gate_up_shexp",),
    "mlp.up_gate_proj": ("ffn_gate_up",),
    "self_attn.W_pack": ("attn_qkv",),
    "self_attn.qkv_proj": ("attn_qkv",),
    "shared_mlp.input_linear": ("ffn_gate_up_shexp", "ffn_gate_up"),
    "shared_mlp.output_linear": ("ffn_down_shexp", "ffn_down"),
}
"""Names behind the number of a layer that mean the same in every architecture; they come before the map."""

_FUSED_IN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "chatglm": {"mlp.dense_h_to_4h": ("ffn_gate_up",)},
}


@dataclass(frozen=True)
class Place:
    """What a module path says: the layer (-1 outside), the expert if it names one, and the possible short names."""

    layer: int
    expert: int | None
    tensors: tuple[str, ...]


class NameMap:
    """Module paths of one architecture."""

    def __init__(self, arch: str) -> None:
        self._arch = arch

    def place(self, module: str) -> Place:
        """Where ``module`` belongs; without tensors where the name is unknown."""
        module = _INNER_MODELS.sub("", module)
        expert = _EXPERT.search(module)
        merged = _EXPERT.sub("", module, count=1)
        layer = _NUMBER.search(merged)
        tensors = tuple(dict.fromkeys(self._tensors(merged, layer)))
        return Place(int(layer.group()) if layer else -1, int(expert[1]) if expert else None, tensors)

    def _tensors(self, module: str, layer: re.Match[str] | None) -> Iterator[str]:
        behind = module[layer.end() + 1 :] if layer else ""
        fused = {**_FUSED, **_FUSED_IN.get(self._arch, {})}.get(behind)
        if fused:
            yield from fused
            return
        for spelling in _spellings(_NUMBER.sub("0", module, count=1)):
            mapped = self._by_module.get(spelling)
            if mapped is not None:
                yield mapped.removeprefix("blk.0.")

    @cached_property
    def _by_module(self) -> Mapping[str, str]:
        """Module names of a model with one layer, and what they are called in a GGUF."""
        from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
        from gguf.tensor_mapping import TensorNameMap

        class OwnTensorNameMap(TensorNameMap):  # type: ignore[misc]
            """Its constructor adds to a table of the class, which other architectures must not see."""

            block_mappings_cfg: ClassVar = dict(TensorNameMap.block_mappings_cfg)

        arch = next(arch for arch in MODEL_ARCH if MODEL_ARCH_NAMES[arch] == self._arch)
        return {name: tensor for name, (_, tensor) in OwnTensorNameMap(arch, 1).mapping.items()}


def is_other_modality(module: str) -> bool:
    """Whether a module belongs to the vision or audio side of a model, which is another GGUF file."""
    return _OTHER_MODALITIES.search(module) is not None


def _spellings(module: str) -> Iterator[str]:
    """The module path with and without each root that a model can have."""
    yield module
    bare = next((module.removeprefix(root) for root in _ROOTS if module.startswith(root)), module)
    yield bare
    for root in _ROOTS:
        yield root + bare
