"""Tiny random models of Transformers, and the GGUF that llama.cpp's converter would make of them.

A :class:`Pair` only describes; torch and transformers are imported by :func:`model_of` alone. The layout of the
weights comes from :mod:`support.weight_layouts`, which shares nothing with the converter under test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGUFWriter

from support.rearrangements import Dims
from support.weight_layouts import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Tensors = dict[str, np.ndarray]
    Change = Callable[[np.ndarray], np.ndarray]
    Split = Callable[[np.ndarray], dict[str, np.ndarray]]  # one parameter to several tensors, by their full names

VOCAB = 48
LAYERS = 2
CONTEXT = 128
SIZES = Dims(hidden=64, heads=4, kv_heads=2, head_dim=16, ff=96, experts=4, expert_ff=32, shared_ff=48)
SIZES_MULTI_HEAD = Dims(hidden=64, heads=4, kv_heads=4, head_dim=16, ff=96)
GELU = 1e-3  # tolerance where llama.cpp looks GELU up in a table of halves
OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
VISION = ("model.visual.", "model.vision_tower.", "model.multi_modal_projector.")
FUSED = (
    (("attn_q", "attn_k", "attn_v"), "attn_qkv", 0),
    (("ffn_gate_exps", "ffn_up_exps"), "ffn_gate_up_exps", 1),
)
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def decoder_config(dims: Dims = SIZES, **more: Any) -> dict[str, Any]:
    """The fields that most configurations of Transformers share."""
    return {
        "vocab_size": VOCAB,
        "hidden_size": dims.hidden,
        "intermediate_size": dims.ff,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": dims.heads,
        "num_key_value_heads": dims.kv_heads,
        "head_dim": dims.head_dim,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},  # the defaults differ
        **more,
    }


def decoder_metadata(dims: Dims = SIZES, **more: Any) -> dict[str, Any]:
    """The same for the keys of a GGUF, without the name of the architecture; ``__`` stands for a dot."""
    return {
        "context_length": CONTEXT,
        "embedding_length": dims.hidden,
        "block_count": LAYERS,
        "feed_forward_length": dims.ff,
        "attention.head_count": dims.heads,
        "attention.head_count_kv": dims.kv_heads,
        "attention.key_length": dims.head_dim,
        "attention.value_length": dims.head_dim,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": dims.head_dim,
        "rope.freq_base": 10000.0,
        "vocab_size": VOCAB,
        **{key.replace("__", "."): value for key, value in more.items()},
    }


@dataclass(frozen=True)
class Pair:
    """One tiny model: how to build it, and what of it lies where in the GGUF."""

    layout: str  # key of LAYOUTS; what stands before a slash is the architecture
    model_type: str
    config: dict[str, Any] = field(default_factory=decoder_config)
    metadata: dict[str, Any] = field(default_factory=decoder_metadata)
    others: Mapping[str, str | Split] = field(default_factory=lambda: NORMS)  # in a layer, what no adapter may touch
    outside: Mapping[str, str] = field(default_factory=lambda: OUTSIDE)
    changes: Mapping[str, Change] = field(default_factory=dict)  # by end of the name
    dims: Dims = SIZES
    parameters: tuple[str, ...] = ()  # 3-D ones for an adapter to target
    modules: str | tuple[str, ...] = "all-linear"
    ignored: tuple[str, ...] = ()  # ends of names that llama.cpp's converter drops
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)  # tensors that it makes of the configuration
    tolerance: float = 1e-5  # relative error of the logits
    loader: str = "AutoModelForCausalLM"
    label: str = ""

    @property
    def arch(self) -> str:
        return self.layout.partition("/")[0]

    def __str__(self) -> str:
        return self.label or self.layout


def tied(pair: Pair) -> Pair:
    """The same with one matrix for input and output."""
    ignored = (*pair.ignored, "lm_head.weight")
    return replace(pair, config=pair.config | {"tie_word_embeddings": True}, ignored=ignored)


def model_of(pair: Pair, seed: int = 0) -> Any:
    """The model, with no value left at zero or one; the seed keeps it the same everywhere."""
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(pair.model_type, **pair.config)
    model = getattr(transformers, pair.loader).from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if not values.is_floating_point():
                continue
            if values.ndim > 1:
                values.normal_(std=values.shape[-1] ** -0.5)
            elif name in model.state_dict():
                values.add_(torch.randn_like(values) * 0.2)
    return model


def export(path: Path, pair: Pair, model: Any, also: Callable[[Tensors], Tensors] = dict) -> Path:
    """The model as a GGUF in F32, without a vocabulary. A weight that the pair does not name is an error."""
    tensors: Tensors = dict(pair.extra)
    for name, values in model.state_dict().items():
        if not name.endswith(pair.ignored) and not name.startswith(VISION):
            text = name.replace("language_model.", "")  # how models that also see wrap the one that writes
            tensors |= _placed(pair, text, values.detach().numpy().astype(np.float32))
    return write_gguf(path, pair.arch, pair.metadata, also(tensors))


def fused(tensors: Tensors) -> Tensors:
    """q, k and v in one tensor, gate and up of all experts too: conversion/base.py, modify_tensors."""
    for names, name, axis in FUSED:
        for first in [found for found in tensors if re.fullmatch(rf"blk\.\d+\.{names[0]}\.(weight|bias)", found)]:
            parts = [tensors.pop(first.replace(names[0], part)) for part in names]
            tensors[first.replace(names[0], name)] = np.concatenate(parts, axis)
    return tensors


def write_gguf(path: Path, arch: str, metadata: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Path:
    writer = GGUFWriter(path, arch)
    writer.add_name("tiny")
    writer.add_tokenizer_model("no_vocab")
    for key, value in metadata.items():
        _add(writer, f"{arch}.{key}", value)
    for name, values in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, list: writer.add_array}
    add.get(type(value), writer.add_string)(key, value)


def _placed(pair: Pair, name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors that one parameter of the model becomes, by their names in the GGUF."""
    changed = next((change(values) for end, change in pair.changes.items() if name.endswith(end)), values)
    module, _, kind = name.rpartition(".")
    if module in pair.outside:
        return {f"{pair.outside[module]}.{kind}": changed}
    family = LAYOUTS[pair.layout]
    layer, path = _in_layer(family.prefix, name)
    module = path.rpartition(".")[0]
    if path not in pair.others and (weight := family.weights.get(path) or family.weights.get(module)):
        kind = "weight" if path in family.weights else kind  # a stack of experts is a parameter without a suffix
        return {f"blk.{layer}.{short}.{kind}": w for short, w in weight(pair.dims, changed).items()}
    other = pair.others[path] if path in pair.others else f"{pair.others[module]}.{kind}"
    split = {other: changed} if isinstance(other, str) else other(changed)
    return {f"blk.{layer}.{full}": w for full, w in split.items()}


def _in_layer(prefix: str, name: str) -> tuple[str, str]:
    found = re.fullmatch(re.escape(prefix).replace(r"\{\}", r"(\d+)") + "(.*)", name)
    if found is None:
        raise KeyError(name)
    return found[1], found[2]
