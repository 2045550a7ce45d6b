"""What baking in costs and brings, said before anything is written: sizes, and speeds as far as they can be estimated.

One token of one conversation reads every weight once, so on a processor its time is about that of reading them. An
adapter at run time adds its own weights, for each adapted tensor a few small operations, and what short rows cost: ggml
multiplies 32 values of a row at a time and those that are left one by one (ggml_vec_dot_f16 in ggml-cpu/vec.cpp), so
that a rank of 16 can be slower than one of 64. Many conversations at once, and graphics cards, are another matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

BYTES_PER_S = 20e9
"""How fast an ordinary machine reads weights."""

WEIGHT_S, PAIR_S = 5e-6, 2e-6
"""What one weight costs beside its bytes, and what the operations of an adapter for it cost."""

AT_A_TIME, LEFTOVER_S = 32, 1e-9
"""Values of a row that are multiplied together, and what each costs that is left of a row of the adapter's B.

These four are such that ratios measured on the demo and on a 1.5B base come out: docs/merge.md.
"""

CLOSE = 0.03
"""Speeds that differ by less than this share are called equal."""

_LOOKED_UP = frozenset({"token_embd.weight", "position_embd.weight", "token_types.weight"})

Better = Literal["merged", "adapter", "either"]


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of a file: its name, its bytes, and the share of it that one token reads (less than 1 for experts)."""

    name: str
    nbytes: int
    read: float = 1.0


@dataclass(frozen=True, slots=True)
class Pair:
    """The two matrices of an adapter for one tensor: the rows of B, and the values in each."""

    n_rows: int
    rank: int

    @property
    def seconds(self) -> float:
        """What they cost for one token, beside their bytes."""
        return PAIR_S + self.n_rows * (self.rank % AT_A_TIME) * LEFTOVER_S


@dataclass(frozen=True, slots=True)
class Trade:
    """The base alone, with the adapters at run time, and with them baked in. Sizes are those of the files.

    Speeds are estimates: tokens per second in one conversation on a processor, as shares of those of the bare base.
    ``expected_kept`` is how much of the adapters' change will be left, estimated from some rows.
    """

    base_bytes: int
    adapter_bytes: int
    merged_bytes: int
    adapter_speed: float
    merged_speed: float
    expected_kept: float

    @property
    def faster(self) -> Better:
        """Which one answers faster."""
        ratio = self.merged_speed / self.adapter_speed
        if abs(ratio - 1) <= CLOSE:
            return "either"
        return "merged" if ratio > 1 else "adapter"

    @property
    def is_larger(self) -> bool:
        """Is the merged file larger than the base and the adapters together?"""
        return self.merged_bytes > self.base_bytes + self.adapter_bytes

    @property
    def line(self) -> str:
        """Sizes and speeds of both, in one line."""
        sizes = f"{size_text(self.merged_bytes)} instead of {size_text(self.base_bytes + self.adapter_bytes)}"
        merged, adapter = (f"{100 * speed:.0f} %" for speed in (self.merged_speed, self.adapter_speed))
        speeds = f"about {merged} of the base's speed instead of {adapter}"
        line = f"Baked in: {sizes}, {speeds} with the adapter at run time."
        return f"{line} Better stay with that." if self.faster != "merged" and self.is_larger else line

    def advice(self, *, has_source: bool) -> str:
        """What to do, in a sentence or two."""
        if self.faster == "merged" and not self.is_larger:
            return "Baking in wins: faster, and no larger."
        source = "" if has_source else " With the unquantized base (--source) it keeps the base's size and speed."
        if self.faster == "merged":
            return f"Baking in is faster and takes more room.{source}"
        gain = "slower" if self.faster == "adapter" else "no faster"
        size = " and larger" if self.is_larger else ""
        return f"Baked in it is {gain}{size}: better use the adapter at run time, where it can be swapped too.{source}"


def size_text(n_bytes: int) -> str:
    """``1.02 GB``, ``5.8 MB`` or ``312 kB``."""
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:.2f} GB"
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.0f} kB"


def estimated(
    base_bytes: int,
    adapter_bytes: int,
    merged_bytes: int,
    weights: Sequence[Weight],
    merged: Sequence[Weight],
    pairs: Iterable[Pair],
    expected_kept: float,
) -> Trade:
    """The trade for the tensors of the base and of the merged file, with ``pairs`` at run time."""
    alone = _seconds(weights)
    with_adapter = alone + adapter_bytes / BYTES_PER_S + sum(pair.seconds for pair in pairs)
    return Trade(base_bytes, adapter_bytes, merged_bytes, alone / with_adapter, alone / _seconds(merged), expected_kept)


def _seconds(weights: Iterable[Weight]) -> float:
    """How long one token takes to read them; an embedding that is no output matrix too is only looked up."""
    by_name = {weight.name: weight for weight in weights}
    idle = _LOOKED_UP if "output.weight" in by_name else _LOOKED_UP - {"token_embd.weight"}
    read = [weight for name, weight in by_name.items() if name not in idle]
    return len(read) * WEIGHT_S + sum(weight.nbytes * weight.read for weight in read) / BYTES_PER_S
