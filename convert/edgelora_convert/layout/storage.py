"""Where a base keeps what an architecture calls attn_q, ffn_gate and so on: alone, or in a fused tensor.

Only the file can tell: llama.cpp's converter fuses q, k, v and gate, up on demand (``--fuse-qkv``,
``--fuse-gate-up-exps``), and some architectures always keep gate and up in one ``ffn_up``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgelora.gguf.header import TensorInfo
    from edgelora_convert.layout.dims import BlockDims

_ATTENTION = ("attn_q", "attn_k", "attn_v")
_FUSED_ATTENTION = "attn_qkv"


@dataclass(frozen=True)
class Slot:
    """Rows of a tensor: ``n_rows`` from ``first`` on; the whole tensor where it is fused with nothing."""

    tensor: TensorInfo
    first: int
    n_rows: int


class BlockStorage:
    """The tensors of one block, or those outside of blocks.

    ``whole_first``: names are those of a GGUF, where ``ffn_up`` is all of the tensor, also if gate is in it.
    """

    def __init__(
        self, tensors: Mapping[str, TensorInfo], layer: int, dims: BlockDims, whole_first: bool = False
    ) -> None:
        self._tensors = tensors
        self._whole_first = whole_first
        self._prefix = f"blk.{layer}." if layer >= 0 else ""
        self.dims = dims

    @property
    def is_block(self) -> bool:
        """Whether these are the tensors of a block."""
        return bool(self._prefix)

    def name(self, short: str) -> str:
        """The full name of a tensor here."""
        return f"{self._prefix}{short}.weight"

    def has(self, short: str) -> bool:
        """Whether the tensor is here by itself or as a part of a fused one."""
        return self._find(short) is not None

    def whole(self, short: str) -> TensorInfo | None:
        """The tensor of this very name."""
        return self._tensors.get(self.name(short))

    def slot(self, short: str) -> Slot:
        """Where the rows of a tensor are. Raises KeyError where it is not here."""
        found = self._find(short)
        if found is None:
            raise KeyError(short)
        return found

    def _find(self, short: str) -> Slot | None:
        ways = [self._fused_gate_up, self._alone, self._fused_attention]
        if self._whole_first:
            ways = [self._alone, *ways]
        return next((slot for way in ways if (slot := way(short))), None)

    def _alone(self, short: str) -> Slot | None:
        info = self.whole(short)
        return Slot(info, 0, info.shape[1] if len(info.shape) > 1 else 0) if info else None

    def _fused_attention(self, short: str) -> Slot | None:
        info = self.whole(_FUSED_ATTENTION)
        if short not in _ATTENTION or info is None or len(info.shape) != 2:
            return None
        n_q, n_k, n_v = self.dims.qkv_sizes
        if info.shape[1] == 2 * n_q + n_k + n_v:
            n_q *= 2  # each query head has a gate beside it (Qwen3-Next and later)
        if info.shape[1] != n_q + n_k + n_v:
            return None
        first, n_rows = {"attn_q": (0, n_q), "attn_k": (n_q, n_k), "attn_v": (n_q + n_k, n_v)}[short]
        return Slot(info, first, n_rows)

    def _fused_gate_up(self, short: str) -> Slot | None:
        """Gate comes first, then up."""
        kind, _, suffix = short.removeprefix("ffn_").partition("_")
        if kind not in ("gate", "up") or suffix.startswith(("up", "inp")) or self.whole(f"ffn_gate{_tail(suffix)}"):
            return None
        info = self.whole(f"ffn_gate_up{_tail(suffix)}") or self._doubled_up(suffix)
        if info is None:
            return None
        half = info.shape[1] // 2
        return Slot(info, half if kind == "up" else 0, half)

    def _doubled_up(self, suffix: str) -> TensorInfo | None:
        """An ``ffn_up`` with twice the rows that ``ffn_down`` takes in."""
        up, down = self.whole(f"ffn_up{_tail(suffix)}"), self.whole(f"ffn_down{_tail(suffix)}")
        if up is None or down is None or len(up.shape) < 2 or up.shape[1] != 2 * down.shape[0]:
            return None
        return up


def _tail(suffix: str) -> str:
    return f"_{suffix}" if suffix else ""
