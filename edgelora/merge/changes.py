"""What happens to the values of one tensor of the base: low-rank changes by adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgelora.errors import MergeError
from edgelora.gguf.facts import LORA_A, LORA_B, AdapterFacts
from edgelora.gguf.fit import EMBEDDING, require_fit
from edgelora.merge.base import BaseTensor
from edgelora.native.quantize import dequantize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edgelora.gguf.header import Header
    from edgelora.merge.base import Base


class TensorChange(Protocol):
    """What is done to the values of a tensor. It may be applied to any rows, in any order, by several threads."""

    def apply(self, first_row: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The new values of the rows from ``first_row`` on, whose old ones are ``values [n, n_cols]``.

        Rows count through all matrices of a stack. ``values`` is left as it is.
        """


@dataclass(frozen=True, slots=True)
class ScaledAdapter:
    """An adapter and the user's scale for it."""

    header: Header
    scale: float


@dataclass(frozen=True, slots=True)
class LowRank:
    """One adapter's part in a change: rows of ``scale``·B·A.

    ``a`` and ``b`` are stored as ``[n_in, rank]`` and ``[rank, n_out]`` in GGUF order, in stacks with a third extent;
    those of token_embd as ``[rank, n_vocab]`` and ``[rank, n_embd]``, because embeddings are looked up
    (src/llama-graph.cpp, build_inp_embd). Factors are decoded for each piece of rows: A is small beside the rows
    that it changes, and nothing has to be kept or given back.
    """

    a: BaseTensor
    b: BaseTensor
    scale: float
    looked_up: bool = False

    def rows(self, matrix: int, first: int, count: int) -> NDArray[np.float32]:
        """The change of ``count`` rows from ``first`` on of one matrix of the stack, float32 ``[count, n_cols]``."""
        if self.looked_up:
            return self._scaled(self.a, first, count) @ _matrix(self.b, matrix).T
        return self._scaled(self.b, matrix * self.b.shape[1] + first, count) @ _matrix(self.a, matrix)

    def _scaled(self, factor: BaseTensor, first: int, count: int) -> NDArray[np.float32]:
        values = _decoded(factor, first, count)
        values *= np.float32(self.scale)
        return values


@dataclass(frozen=True, slots=True)
class LowRankChange:
    """The sum of what all adapters do to one tensor of ``rows_per_matrix`` rows in each matrix.

    ``stored_scales`` are what llama.cpp multiplies the products of each matrix with before it adds those of the
    adapters (build_lora_mm), so that a stored value counts for more than itself.
    """

    parts: tuple[LowRank, ...]
    rows_per_matrix: int
    stored_scales: tuple[float, ...] = ()

    def apply(self, first_row: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`TensorChange`."""
        changed = []
        for matrix, first, here in _by_matrix(first_row, len(values), self.rows_per_matrix):
            delta = self._delta(matrix, first, here.stop - here.start)
            delta += values[here]
            changed.append(delta)
        return changed[0] if len(changed) == 1 else np.concatenate(changed)

    def _delta(self, matrix: int, first: int, count: int) -> NDArray[np.float32]:
        delta = self.parts[0].rows(matrix, first, count)
        for part in self.parts[1:]:
            delta += part.rows(matrix, first, count)
        if self.stored_scales:
            delta /= np.float32(self.stored_scales[matrix])
        return delta


def low_rank_changes(base: Base, adapters: Sequence[ScaledAdapter]) -> dict[str, LowRankChange]:
    """What GGUF adapters do to the tensors of ``base``, by name, in the order of the base.

    Adapters of scale 0 do nothing. Raises AdapterError and AdapterMismatchError where an adapter does not fit the
    base, MergeError for one that is only meant for a part of the text.
    """
    found: dict[str, list[LowRank]] = {}
    for adapter in adapters:
        require_fit(adapter.header, base.header)
        if adapter.scale:
            for name, part in _parts(adapter):
                found.setdefault(name, []).append(part)
    return {
        name: LowRankChange(tuple(found[name]), tensor.shape[1], _stored_scales(base, name))
        for name, tensor in base.tensors.items()
        if name in found
    }


def _stored_scales(base: Base, name: str) -> tuple[float, ...]:
    """What ``NAME.scale`` beside ``NAME.weight`` holds: one number, or one for each matrix of a stack."""
    scales = base.tensors.get(name.removesuffix(".weight") + ".scale")
    if scales is None:
        return ()
    values = _decoded(scales, 0, scales.n_rows).reshape(-1)
    if not (np.isfinite(values).all() and values.all()) or values.size != base.tensors[name].n_matrices:
        raise MergeError(f"{base.path}: {scales.name} holds no usable scales for {name}", "The base may be damaged.")
    return tuple(values.tolist())


def _parts(adapter: ScaledAdapter) -> Iterator[tuple[str, LowRank]]:
    header, facts = adapter.header, AdapterFacts.of(adapter.header)
    if facts.is_alora:
        raise MergeError(
            f"{header.path}: this adapter works only from its invocation tokens on, so it cannot be baked in",
            "Use it at run time.",
        )
    for name, scale in facts.scales.items():
        a, b = (BaseTensor(header.path, header.tensors[name + end]) for end in (LORA_A, LORA_B))
        yield name, LowRank(a, b, adapter.scale * scale, looked_up=name == EMBEDDING)


def _by_matrix(first_row: int, count: int, rows_per_matrix: int) -> Iterator[tuple[int, int, slice]]:
    """The rows, cut at the ends of matrices: the matrix, the first row in it, and where they are among the rows."""
    row = first_row
    while row < first_row + count:
        matrix, first = divmod(row, rows_per_matrix)
        end = min(first_row + count, (matrix + 1) * rows_per_matrix)
        yield matrix, first, slice(row - first_row, end - first_row)
        row = end


def _matrix(factor: BaseTensor, matrix: int) -> NDArray[np.float32]:
    n_rows = factor.shape[1]
    return _decoded(factor, matrix * n_rows, n_rows)


def _decoded(tensor: BaseTensor, first: int, count: int) -> NDArray[np.float32]:
    return dequantize(tensor.type_name, tensor.rows(first, count))
