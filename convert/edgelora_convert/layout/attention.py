"""Orders of rows in attention: rotary pairs, fused q, k and v, linear and latent attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.layout.rules import Index, IndexRule, explained

if TYPE_CHECKING:
    from edgelora_convert.layout.dims import BlockDims

Q, K, V = range(3)


def rotary_query(dims: BlockDims, n: int) -> Index:
    """Rows of q with rotary pairs side by side."""
    return _pairs_together(n, dims.n_head, dims.head_dim)


def rotary_key(dims: BlockDims, n: int) -> Index:
    """Rows of k with rotary pairs side by side."""
    return _pairs_together(n, dims.n_kv, dims.head_dim)


def _pairs_together(n: int, n_heads: int, head_dim: int) -> Index:
    """Rows 0, h/2, 1, h/2 + 1, ... of each head.

    Transformers keeps the two halves of a rotated head apart; llama.cpp rotates neighbours (``LlamaModel.permute`` in
    conversion/llama.py).
    """
    if n != n_heads * head_dim or head_dim % 2:
        raise ValueError(f"{n_heads} heads of {head_dim} values do not explain its {n} rows")
    return np.arange(n).reshape(n_heads, 2, head_dim // 2).swapaxes(1, 2).ravel()


def halves_apart(dims: BlockDims, n: int) -> Index:
    """The opposite: of the rotated rows of each head first the even ones, then the odd ones.

    For multi-dimensional rotation only (``Glm4Model.normal_to_neox`` in conversion/glm.py).
    """
    if not dims.multi_rope:
        return np.arange(n)
    explained(n % dims.head_dim, 0, f"heads of {dims.head_dim} values")
    heads = np.arange(n).reshape(-1, dims.head_dim)
    rotated, fixed = heads[:, : dims.rotary_dim], heads[:, dims.rotary_dim :]
    return np.concatenate([rotated[:, ::2], rotated[:, 1::2], fixed], axis=1).ravel()


def blocks(which: int) -> IndexRule:
    """q, k or v of a matrix that holds all q, then all k, then all v."""

    def rule(dims: BlockDims, n: int) -> Index:
        sizes = dims.qkv_sizes
        explained(n, sum(sizes), f"{dims.n_head} heads and {dims.n_kv} key/value heads")
        return np.arange(sizes[which]) + sum(sizes[:which])

    return rule


def per_key_head(which: int) -> IndexRule:
    """q, k or v of a matrix that holds, for each key/value head, its q heads, its k and its v (Falcon, InternLM2)."""

    def rule(dims: BlockDims, n: int) -> Index:
        if not dims.n_kv or dims.n_head % dims.n_kv:
            raise ValueError(f"{dims.n_head} heads cannot share {dims.n_kv} key/value heads")
        group = dims.n_head // dims.n_kv
        explained(n, (dims.n_head + 2 * dims.n_kv) * dims.head_dim, f"{dims.n_kv} groups of {group} heads")
        heads = np.arange(n).reshape(dims.n_kv, group + 2, dims.head_dim)
        return (heads[:, :group], heads[:, group], heads[:, group + 1])[which].ravel()

    return rule


def per_head(which: int) -> IndexRule:
    """q, k or v of a matrix that holds q, k and v of each head together (BLOOM, GPT-NeoX)."""

    def rule(dims: BlockDims, n: int) -> Index:
        explained(n, 3 * dims.n_head * dims.head_dim, f"{dims.n_head} heads")
        return np.arange(n).reshape(dims.n_head, 3, dims.head_dim)[:, which].ravel()

    return rule


def latent_key(dims: BlockDims, n: int) -> Index:
    """The rows of each head, [n_head, nope], that become its ``k_b`` (``kv_b_proj`` in conversion/deepseek.py)."""
    return _latent_heads(dims, n)[:, : dims.head_dim - dims.rotary_dim]


def latent_value(dims: BlockDims, n: int) -> Index:
    """The rows of each head, [n_head, value_dim], that become its ``v_b``."""
    return _latent_heads(dims, n)[:, dims.head_dim - dims.rotary_dim :]


def _latent_heads(dims: BlockDims, n: int) -> Index:
    each = dims.head_dim - dims.rotary_dim + dims.value_dim
    explained(n, dims.n_head * each, f"{dims.n_head} heads of {each} values")
    return np.arange(n).reshape(dims.n_head, each)


def linear_qkv(dims: BlockDims, n: int) -> Index:
    """All q, all k, all v of a matrix that holds q, k, v and z for each key head (``in_proj_qkvz`` of Qwen3-Next)."""
    q, k, v, _ = _linear_groups(dims, n)
    return np.concatenate([q.ravel(), k.ravel(), v.ravel()])


def linear_gate(dims: BlockDims, n: int) -> Index:
    """All z of such a matrix."""
    return _linear_groups(dims, n)[3].ravel()


def _linear_groups(dims: BlockDims, n: int) -> list[Index]:
    per_group = _values_per_key_head(dims)
    sizes = (dims.linear_k_dim, dims.linear_k_dim, per_group, per_group)
    explained(n, dims.linear_k_heads * sum(sizes), f"{dims.linear_k_heads} heads of linear attention")
    return np.split(np.arange(n).reshape(dims.linear_k_heads, -1), np.cumsum(sizes)[:-1], axis=1)


def tiled_values(dims: BlockDims, n: int) -> Index:
    """Value heads in the order 0 of each key head, then 1 of each; Transformers keeps them by key head.

    ``_reorder_v_heads`` in conversion/qwen.py, for rows and columns alike; ``n`` is a multiple of the value heads.
    """
    explained(n % max(dims.linear_v_heads, 1), 0, f"{dims.linear_v_heads} heads of linear attention")
    _values_per_key_head(dims)
    return np.arange(n).reshape(dims.linear_k_heads, -1, n // dims.linear_v_heads).swapaxes(0, 1).ravel()


def tiled_values_after_keys(dims: BlockDims, n: int) -> Index:
    """Keeps q and k, and orders the value heads behind them."""
    n_before = 2 * dims.linear_k_heads * dims.linear_k_dim
    explained(n, n_before + dims.linear_v_heads * dims.linear_v_dim, "q, k and v of linear attention")
    return np.concatenate([np.arange(n_before), n_before + tiled_values(dims, n - n_before)])


def _values_per_key_head(dims: BlockDims) -> int:
    if not dims.linear_k_heads or dims.linear_v_heads % dims.linear_k_heads:
        raise ValueError(f"{dims.linear_v_heads} value heads cannot share {dims.linear_k_heads} key heads")
    return dims.linear_v_heads // dims.linear_k_heads * dims.linear_v_dim


def by_key_head(dims: BlockDims, n: int) -> Index:
    """Query heads by the key head that they share; PLaMo keeps them the other way round.

    For rows and columns alike (``shuffle_attn_q_weight`` in conversion/plamo.py).
    """
    explained(n, dims.n_head * dims.head_dim, f"{dims.n_head} heads")
    if not dims.n_kv or dims.n_head % dims.n_kv:
        raise ValueError(f"{dims.n_head} heads cannot share {dims.n_kv} key/value heads")
    return np.arange(n).reshape(-1, dims.n_kv, dims.head_dim).swapaxes(0, 1).ravel()
