"""PEFT's LOKR type: the Kronecker product of two matrices, each whole or in two factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgelora_convert.peft.scaling import Scaling
from edgelora_convert.peft.tensors import factors, matrix
from edgelora_convert.peft.wide import refuse_convolution
from edgelora_convert.update import Computed, Update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora_convert.peft.changes import Adapter, Change, ReadModule
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.update import Matrix

PARAMETERS = frozenset({"lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"})


class _Factors(NamedTuple):
    """left·right; ``rank`` is the trained one, 0 where the matrix is stored whole."""

    left: Matrix
    right: Matrix
    rank: int


def lokr(adapter: Adapter) -> ReadModule:
    """A reader of LOKR modules: dW = alpha/r·kron(w1, w2) (peft/tuners/lokr/layer.py, get_delta_weight).

    Exact: kron(l1·r1, l2·r2) = kron(l1, l2)·kron(r1, r2). A matrix that is stored whole is one of its factors, the
    other is the identity of its smaller side. Where both are whole, one factor of the update is the whole change;
    of large weights only a merge takes that (wide.py).
    """
    scaling = Scaling.of(adapter.fields, "alpha")

    def read(module: str, parts: Parts) -> Iterable[Change]:
        refuse_convolution(parts, "lokr_t2")
        first, second = _either(parts, "lokr_w1"), _either(parts, "lokr_w2")
        configured = scaling.ranks[module]
        rank = first.rank or second.rank or configured
        adapter.compare_rank(module, configured, rank)
        scale = scaling.scale_of(module, rank)
        update = Update(module, _kron(first.right, second.right), _kron(first.left, second.left), scale)
        yield adapter.check_size(update)

    return read


def _either(parts: Parts, name: str) -> _Factors:
    if name in parts:
        return _whole(matrix(parts, name), 0)
    right, left = factors(parts, f"{name}_b", f"{name}_a")
    rank, shape = right.shape[0], (left.shape[0], right.shape[1])
    if rank > min(shape):
        return _whole(Computed(shape, lambda: np.matmul(left.load(), right.load())), rank)
    return _Factors(left, right, rank)


def _whole(values: Matrix, rank: int) -> _Factors:
    side = min(values.shape)
    identity = Computed((side, side), lambda: np.eye(side, dtype=np.float32))
    return _Factors(identity, values, rank) if side == values.shape[0] else _Factors(values, identity, rank)


def _kron(left: Matrix, right: Matrix) -> Computed:
    shape = left.shape[0] * right.shape[0], left.shape[1] * right.shape[1]
    return Computed(shape, lambda: np.kron(left.load(), right.load()))
