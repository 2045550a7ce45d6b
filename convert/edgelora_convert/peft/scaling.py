"""The factor that PEFT multiplies the change of a module with, and the rank that the configuration gives it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora_convert.peft.by_pattern import ByPattern

if TYPE_CHECKING:
    from edgelora_convert.peft.fields import Fields


@dataclass(frozen=True)
class Scaling:
    """rank, alpha and how they make a factor."""

    ranks: ByPattern[int]
    alphas: ByPattern[float]
    stabilised: bool = False

    def scale_of(self, path: str, rank: int) -> float:
        """alpha/r, or alpha/sqrt(r) (peft/tuners/lora/layer.py, LoraLayer.update_layer)."""
        return self.alphas[path] / (math.sqrt(rank) if self.stabilised else rank)

    @classmethod
    def of(cls, fields: Fields, alpha: str) -> Scaling:
        """From the fields r, ``alpha``, use_rslora, rank_pattern and alpha_pattern."""
        return cls(
            ByPattern(fields.counts_by_pattern("rank_pattern"), fields.count("r"), "rank_pattern", fields),
            ByPattern(fields.numbers_by_pattern("alpha_pattern"), fields.number(alpha), "alpha_pattern", fields),
            stabilised=fields.flag("use_rslora"),
        )
