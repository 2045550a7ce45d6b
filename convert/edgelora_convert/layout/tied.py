"""Bases of models that have one matrix for input and output, in files that hold it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError
from edgelora.gguf.fit import EMBEDDING
from edgelora_convert.update import Update, transposed

if TYPE_CHECKING:
    from edgelora.gguf.header import Header
    from edgelora_convert.layout.base_weight import ReadRows

OUTPUT = "output.weight"
SAMPLED_ROWS = 64
_ALIKE = 0.3
"""Distance of rows, relative to their norm, that two quantizations of the same values stay below: Q2_K costs as much.
Rows of different matrices are about 1.4 apart."""


def output_is_a_copy(base: Header, read: ReadRows) -> bool:
    """Whether the output matrix of a base holds the values of its embedding, perhaps in another type.

    Two names for the same bytes are no copy: who shows a tied base like that looks after its output as well.
    """
    embedding, output = base.tensors.get(EMBEDDING), base.tensors.get(OUTPUT)
    if embedding is None or output is None or embedding.shape != output.shape:
        return False
    if embedding.offset == output.offset:
        return False
    rows = np.linspace(0, embedding.shape[1] - 1, SAMPLED_ROWS).astype(int).tolist()
    try:
        one, other = (read(info, sorted(set(rows))) for info in (embedding, output))
    except GGUFError:
        return False
    return bool(np.square(one - other).sum() <= _ALIKE**2 * np.square(one).sum())


def for_output(update: Update) -> Update:
    """What changes an embedding, for the output that is the same matrix; under its name in a GGUF."""
    return Update(OUTPUT, transposed(update.b), transposed(update.a), update.scale)
