"""Where a weight, norm or bias goes that was trained whole: rows of a matrix of the base, or entries of a vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.layout.placement import placed
from edgelora_convert.update import Computed, Kind, Update

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgelora_convert.layout.resolve import Located
    from edgelora_convert.layout.rules import Index, Part
    from edgelora_convert.storage.stored import StoredTensor
    from edgelora_convert.update import Whole

    Values = NDArray[np.float32]

_NORMS_OF_ONE_MORE = frozenset(
    {"gemma", "gemma2", "gemma3", "gemma-embedding", "nemotron", "qwen3next", "qwen35", "qwen35moe"}
)
"""Architectures whose trained norms are w for 1 + w, which is what their GGUF holds.

``modify_tensors`` in conversion/gemma.py (``norm_shift`` of Gemma3Model), nemotron.py and qwen.py (Qwen3NextModel).
"""

_INPUTS_FIRST = frozenset({"gpt2", "jais"})
"""Architectures whose layers are Conv1D, [n_in, n_out]: conversion/gpt2.py and jais.py."""

_NORM_AS_IT_IS = ".linear_attn.norm"  # of the latter three


@dataclass(frozen=True)
class MatrixRows:
    """Rows ``first``, ... of matrix ``stack`` of a tensor (None: it is one) become chosen rows and columns of ``new``.

    ``rows`` and ``columns`` are None where all are taken, in their order.
    """

    tensor: str
    first: int
    n_rows: int
    stack: int | None
    new: StoredTensor
    rows: Index | None
    columns: Index | None

    def load(self, start: int, count: int) -> Values:
        """``count`` of the new rows, float32, counted from ``first`` on."""
        if self.rows is None:
            chosen = self.new.rows(start, count).load()
        else:
            wanted = self.rows[start : start + count]
            lowest = int(wanted.min())
            chosen = self.new.rows(lowest, int(wanted.max()) - lowest + 1).load()[wanted - lowest]
        return chosen if self.columns is None else chosen[:, self.columns]


@dataclass(frozen=True)
class Entries:
    """Entries ``first``, ... of a vector of ``size`` entries become the chosen ``rows`` of ``new``, plus ``shift``.

    Where ``added`` is given, that many times ``new`` is added instead. The vector may be one that the base lacks.
    """

    tensor: str
    size: int
    first: int
    new: StoredTensor
    rows: Index | None
    shift: float = 0.0
    added: float | None = None

    def load(self) -> Values:
        """The new values, or what is added, float32."""
        values = self.new.load()
        chosen = values if self.rows is None else values[self.rows]
        return chosen + np.float32(self.shift) if self.added is None else chosen * np.float32(self.added)


Parameter = MatrixRows | Entries


def placed_whole(whole: Whole, located: Located, arch: str) -> list[Parameter]:
    """Where its values go. Raises ValueError where the base has no such rows or entries."""
    if len(whole.values.shape) == 1:
        return [_entries(whole, part, located, arch) for part in located.parts]
    if len(whole.values.shape) == 2 and whole.parameter == "weight":
        return list(placed_matrix(whole, located, arch))
    raise ValueError(f"it is {list(whole.values.shape)}, and only matrices and vectors can be replaced")


def placed_matrix(whole: Whole, located: Located, arch: str) -> Iterator[MatrixRows]:
    """Where the rows of a weight of two dimensions go. Raises ValueError where the base has no such rows."""
    if arch in _INPUTS_FIRST and located.storage.is_block:
        whole = replace(whole, values=whole.values.transposed)
    for piece in placed(_as_update(whole), located):
        looked_up = whole.kind is Kind.EMBEDDING
        chosen = (piece.columns, piece.rows) if looked_up else (piece.rows, piece.columns)
        values, rows, columns = (_turned if piece.transposed else _straight)(whole.values, *chosen)
        n_rows = piece.shape[1 if looked_up else 0]
        yield MatrixRows(piece.tensor.name, piece.first, n_rows, piece.stack, values, rows, columns)


_Chosen = tuple["StoredTensor", "Index | None", "Index | None"]
"""A matrix, and which of its rows and columns are taken."""


def _straight(values: StoredTensor, rows: Index | None, columns: Index | None) -> _Chosen:
    return values, rows, columns


def _turned(values: StoredTensor, rows: Index | None, columns: Index | None) -> _Chosen:
    """The same of the transposed matrix, as far as the rows reach that are taken."""
    if rows is None:
        return values.transposed, columns, None
    lowest = int(rows.min())
    return values.rows(lowest, int(rows.max()) - lowest + 1).transposed, columns, rows - lowest


def _as_update(whole: Whole) -> Update:
    """The shape of a weight in the form of an update, which can be placed; it has no values."""
    n_out, n_in = whole.values.shape[::-1] if whole.kind is Kind.EMBEDDING else whole.values.shape
    return Update(whole.module, _nothing(0, n_in), _nothing(n_out, 0), 1.0, whole.kind, whole.expert)


def _nothing(n_rows: int, n_columns: int) -> Computed:
    return Computed((n_rows, n_columns), lambda: np.zeros((n_rows, n_columns), np.float32))


def _entries(whole: Whole, part: Part, located: Located, arch: str) -> Entries:
    """A bias has the rows of its weight; a norm is a vector itself."""
    slot = located.storage.slot(part.tensor)
    is_norm = len(slot.tensor.shape) == 1
    if len(slot.tensor.shape) > 2 or part.transposed or (whole.parameter == "weight" and not is_norm):
        raise ValueError(f"{slot.tensor.name} of the base is {list(slot.tensor.shape)}, which is no place for a vector")
    n = whole.values.shape[0]
    rows = part.rows(located.storage.dims, n) if part.rows else None
    n_rows = slot.tensor.shape[0] if is_norm else slot.n_rows
    if (n if rows is None else len(rows)) != n_rows:
        raise ValueError(f"it has {n} values, {slot.tensor.name} of the base has {n_rows} outputs")
    name = slot.tensor.name.removesuffix("weight") + whole.parameter
    shift = 1.0 if whole.parameter == "weight" and _is_of_one_more(whole.module, arch) else 0.0
    return Entries(name, slot.tensor.shape[-1], slot.first, whole.values, rows, shift, whole.added)


def _is_of_one_more(module: str, arch: str) -> bool:
    return arch in _NORMS_OF_ONE_MORE and module.endswith("norm") and not module.endswith(_NORM_AS_IT_IS)
