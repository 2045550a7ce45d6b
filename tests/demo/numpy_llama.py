"""A Llama forward pass in numpy, from transformers' own weight names: what an export is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from demo.source import Source
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def logits(source: Source, ids: list[int]) -> Array:
    """Return the logits [len(ids), vocabulary] in float64."""
    weights = {name: value.astype(np.float64) for name, value in source.tensors.items()}
    embedding, config = weights["model.embed_tokens.weight"], source.config
    state = embedding[ids]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        part = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        state = state + _attention(_norm(state, part["input_layernorm.weight"], config), part, config)
        inner = _norm(state, part["post_attention_layernorm.weight"], config)
        gate = inner @ part["mlp.gate_proj.weight"].T
        wide = gate / (1 + np.exp(-gate)) * (inner @ part["mlp.up_proj.weight"].T)
        state = state + wide @ part["mlp.down_proj.weight"].T
    return _norm(state, weights["model.norm.weight"], config) @ embedding.T


def _norm(state: Array, weight: Array, config: dict[str, float]) -> Array:
    return state / np.sqrt((state**2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight


def _attention(state: Array, part: dict[str, Array], config: dict[str, int]) -> Array:
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    query = _rotated(_split(state @ part["self_attn.q_proj.weight"].T, heads), config)
    key = _rotated(_split(state @ part["self_attn.k_proj.weight"].T, kv_heads), config)
    value = _split(state @ part["self_attn.v_proj.weight"].T, kv_heads)
    key, value = (np.repeat(held, heads // kv_heads, axis=0) for held in (key, value))
    scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
    scores = np.where(np.tri(len(state), dtype=bool), scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = scores / scores.sum(-1, keepdims=True) @ value
    return mixed.swapaxes(0, 1).reshape(len(state), -1) @ part["self_attn.o_proj.weight"].T


def _split(state: Array, heads: int) -> Array:
    return state.reshape(len(state), heads, -1).swapaxes(0, 1)


def _rotated(state: Array, config: dict[str, dict[str, float]]) -> Array:
    """Rotary embedding as transformers lays it out: the two halves of a head make the pairs."""
    half = state.shape[-1] // 2
    frequencies = config["rope_parameters"]["rope_theta"] ** (-np.arange(half) / half)
    angles = np.outer(np.arange(state.shape[1]), frequencies)
    first, second = state[..., :half], state[..., half:]
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)
