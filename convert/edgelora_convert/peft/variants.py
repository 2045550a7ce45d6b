"""Variants of LORA that store fewer numbers than A and B have (peft/tuners/lora/variants.py)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.peft.tensors import matrix
from edgelora_convert.update import Computed, Matrix, Pending, UnusableError, Update

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgelora_convert.peft.fields import Fields
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.update import Weight

MAX_BLOCK_NAMES = 64
"""A name is that of a kind of module; each is looked for in every path."""


def pooled(update: Update, group: int) -> Pending:
    """QA-LoRA: A sees the mean over each group of inputs, times the number of groups (QALoraLinearVariant.forward).

    Only layers quantized with GPTQ are trained that way (peft/tuners/lora/gptq.py); for the others A has all inputs,
    which the base's shape tells.
    """
    rank, n_groups = update.a.shape

    def columns() -> NDArray[np.float32]:
        return np.repeat(update.a.load() * np.float32(n_groups / group), group, axis=1)

    def complete(weight: Weight) -> Update:
        if weight.shape[1] != n_groups * group:
            return update
        return replace(update, a=Computed((rank, n_groups * group), columns))

    return Pending(update.module, complete)


@dataclass(frozen=True)
class BlockDiagonal:
    """BD-LoRA: of some modules A, of others B has blocks on its diagonal and nothing else (BdLoraLinearVariant).

    A module belongs to those whose names are parts of its path. ``n_blocks`` is 0 where the variant is not used.
    """

    n_blocks: int
    of_a: tuple[str, ...] = ()
    of_b: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Fields) -> BlockDiagonal:
        """From the field use_bdlora."""
        if not fields.get("use_bdlora"):
            return cls(0)
        inner = fields.inner("use_bdlora")
        of_a, of_b = (inner.names(f"target_modules_bd_{side}") for side in "ab")
        if len(of_a) + len(of_b) > MAX_BLOCK_NAMES:
            fields.refuse("use_bdlora", f"use_bdlora names more than {MAX_BLOCK_NAMES} modules; name kinds of modules")
            return cls(0)
        return cls(inner.count("nblocks"), of_a, of_b)

    def expanded(self, module: str, parts: Parts) -> tuple[Matrix, Matrix] | None:
        """A and B in full, None where both are stored so."""
        in_a, in_b = (any(name in module for name in names) for names in (self.of_a, self.of_b))
        if self.n_blocks == 0 or not (in_a or in_b):
            return None
        if in_a and in_b:
            raise UnusableError("use_bdlora names it for blocks in A and in B")
        a, b = matrix(parts, "lora_A"), matrix(parts, "lora_B")
        full_a = self._diagonal(a) if in_a else a
        full_b = self._diagonal(b) if in_b else b
        if full_a.shape[0] != full_b.shape[1]:
            raise UnusableError(f"A {list(a.shape)} and B {list(b.shape)} do not make {self.n_blocks} blocks")
        return full_a, full_b

    def _diagonal(self, stored: Matrix) -> Matrix:
        """Blocks [n_blocks * rows, columns] on the diagonal of [n_blocks * rows, n_blocks * columns]."""
        n_rows, width = stored.shape
        if n_rows % self.n_blocks:
            raise UnusableError(f"its {n_rows} rows are not {self.n_blocks} blocks")
        height = n_rows // self.n_blocks

        def full() -> NDArray[np.float32]:
            spread = np.zeros((self.n_blocks, height, self.n_blocks, width), np.float32)
            diagonal = np.arange(self.n_blocks)
            spread[diagonal, :, diagonal] = stored.load().reshape(self.n_blocks, height, width)
            return spread.reshape(n_rows, self.n_blocks * width)

        return Computed((n_rows, self.n_blocks * width), full)
