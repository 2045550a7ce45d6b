"""PEFT's LOHA type: the elementwise product of two low-rank matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.peft.scaling import Scaling
from edgelora_convert.peft.tensors import factors
from edgelora_convert.peft.wide import refuse_convolution, whole
from edgelora_convert.update import Computed, UnusableError, Update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from edgelora_convert.peft.changes import Adapter, Change, ReadModule
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.update import Matrix

PARAMETERS = frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"})


def loha(adapter: Adapter) -> ReadModule:
    """A reader of LOHA modules: dW = alpha/r·(w1_a·w1_b)*(w2_a·w2_b) (peft/tuners/loha/layer.py, HadaWeight).

    Exact: the product of entries is a sum over pairs of ranks, so column (i, j) of B is w1_a[:, i]*w2_a[:, j], row
    (i, j) of A is w1_b[i]*w2_b[j], and the rank is the product of both; where that is the full rank of a
    large weight, only a merge takes it (wide.py).
    """
    scaling = Scaling.of(adapter.fields, "alpha")

    def read(module: str, parts: Parts) -> Iterable[Change]:
        refuse_convolution(parts, "hada_t1", "hada_t2")
        b1, a1 = factors(parts, "hada_w1_b", "hada_w1_a")
        b2, a2 = factors(parts, "hada_w2_b", "hada_w2_a")
        if (a1.shape[0], b1.shape[1]) != (a2.shape[0], b2.shape[1]):
            raise UnusableError(f"its two products are {[a1.shape[0], b1.shape[1]]} and {[a2.shape[0], b2.shape[1]]}")
        rank = b1.shape[0]
        adapter.compare_rank(module, scaling.ranks[module], rank)
        update = _product(module, a1, b1, a2, b2, scaling.scale_of(module, rank))
        yield adapter.check_size(update)

    return read


def _product(module: str, a1: Matrix, b1: Matrix, a2: Matrix, b2: Matrix, scale: float) -> Update:
    n_out, n_in, rank = a1.shape[0], b1.shape[1], b1.shape[0] * b2.shape[0]
    if rank >= min(n_out, n_in):
        return whole(module, n_out, n_in, lambda: (a1.load() @ b1.load()) * (a2.load() @ b2.load()), scale)
    return Update(
        module,
        Computed((rank, n_in), lambda: column_products(b1.load().T, b2.load().T).T),
        Computed((n_out, rank), lambda: column_products(a1.load(), a2.load())),
        scale,
    )


def column_products(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each column of ``left`` times each of ``right``, entry by entry: the Khatri-Rao product of their rows."""
    return (left[:, :, None] * right[:, None, :]).reshape(left.shape[0], -1)
