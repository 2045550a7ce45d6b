"""PEFT's MISS type: inputs are summed in groups before they are mapped to the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.peft.tensors import matrix
from edgelora_convert.update import Computed, MisfitError, Pending, Update

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgelora_convert.peft.changes import Adapter, ReadModule
    from edgelora_convert.storage.stored import StoredTensor
    from edgelora_convert.update import Weight

PARAMETERS = frozenset({"miss_block"})


def miss(adapter: Adapter) -> ReadModule:
    """A reader of MISS modules: input i counts for row i mod r of the block, whose rows are the columns of B.

    peft/tuners/miss/layer.py, get_delta_weight_miss and forward. With ``mini`` the outputs repeat the block's columns;
    with ``bat`` the change depends on the base's weight, so that is refused.
    """
    mode = adapter.fields.get("init_weights")
    mini = mode == "mini"
    if mode == "bat":
        adapter.fields.refuse(
            "init_weights",
            "it is a MiSS adapter of the kind bat, whose change depends on the base's weights; merge it into its base "
            "with PEFT (merge_and_unload), or train it again without",
        )
    return lambda module, parts: [_pending(module, matrix(parts, "miss_block"), mini)]


def _pending(module: str, block: StoredTensor, mini: bool) -> Pending:
    rank, width = block.shape

    def complete(weight: Weight) -> Update:
        n_out, n_in = weight.shape
        if n_out % width if mini else n_out != width:
            raise MisfitError(f"the base has {n_out} outputs here, its miss_block {width}")

        def outputs() -> NDArray[np.float32]:
            return np.tile(block.load(), (1, n_out // width)).T

        return Update(module, _groups(rank, n_in), Computed((n_out, rank), outputs), 1.0)

    return Pending(module, complete)


def _groups(rank: int, n_in: int) -> Computed:
    """[rank, n_in] with a one where the input's number leaves the row's number."""
    return Computed((rank, n_in), lambda: (np.arange(n_in) % rank == np.arange(rank)[:, None]).astype(np.float32))
