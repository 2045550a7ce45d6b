"""The sizes of one block of a base that layout rules need, from the GGUF metadata alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.gguf.facts import BaseFacts

if TYPE_CHECKING:
    from edgelora.gguf.header import Header


@dataclass(frozen=True)
class BlockDims:
    """Sizes of one block; 0 where the metadata has none.

    ``head_dim`` and ``value_dim`` are the values in a head of K and V (and of one attention head in latent attention,
    where the metadata give both). ``rotary_dim`` is how many of a head's values are rotated. The ``linear_`` sizes are
    those of linear attention (gated delta nets), which GGUF keeps under ``ssm.``.
    """

    n_head: int
    n_kv: int
    head_dim: int
    value_dim: int
    n_vocab: int = 0
    n_expert: int = 0
    rotary_dim: int = 0
    linear_k_heads: int = 0
    linear_v_heads: int = 0
    linear_k_dim: int = 0
    linear_v_dim: int = 0
    multi_rope: bool = False

    @property
    def qkv_sizes(self) -> tuple[int, int, int]:
        """Rows of q, k and v."""
        return self.n_head * self.head_dim, self.n_kv * self.head_dim, self.n_kv * self.value_dim


def block_dims(header: Header, base: BaseFacts, layer: int) -> BlockDims:
    """Sizes of the block ``layer`` of ``base``, whose header is ``header``."""

    def size(key: str, default: int = 0) -> int:
        return header.get(f"{base.arch}.{key}", default)

    linear_v_heads = size("ssm.time_step_rank")
    head_dim = size("attention.key_length_mla") or base.head_dim
    return BlockDims(
        n_head=base.n_head[layer],
        n_kv=base.n_kv[layer],
        head_dim=head_dim,
        value_dim=size("attention.value_length_mla") or size("attention.value_length") or head_dim,
        n_vocab=base.n_vocab,
        n_expert=size("expert_count"),
        rotary_dim=size("rope.dimension_count", head_dim),
        linear_k_heads=size("ssm.group_count"),
        linear_v_heads=linear_v_heads,
        linear_k_dim=size("ssm.state_size"),
        linear_v_dim=size("ssm.inner_size") // linear_v_heads if linear_v_heads else 0,
        multi_rope=f"{base.arch}.rope.dimension_sections" in header.metadata,
    )
