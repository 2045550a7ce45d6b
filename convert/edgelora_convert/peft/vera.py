"""PEFT's VERA type: two random matrices for all modules, and trained factors of their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.peft.tensors import factors, required
from edgelora_convert.update import Computed, MisfitError, Pending, UnusableError, Update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora_convert.peft.changes import Adapter, Change, ReadModule
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.storage.stored import StoredTensor
    from edgelora_convert.update import Weight

SHARED = frozenset({"vera_A", "vera_B"})
PARAMETERS = SHARED | {"vera_lambda_b", "vera_lambda_d"}


def vera(adapter: Adapter) -> ReadModule:
    """A reader of VERA modules: dW = (b*B[:n_out])·(d*A[:, :n_in]) (peft/tuners/vera/layer.py, get_delta_weight).

    The matrices can be had again only from torch's random numbers where they were not saved, so that is refused.
    """
    shared = {name: tensor for parts in adapter.modules.values() for name, tensor in parts.items() if name in SHARED}
    if shared.keys() != SHARED:
        adapter.fields.refuse(
            "save_projection",
            "its projections vera_A and vera_B were not saved; load it with PEFT and save it again with "
            "save_projection=True",
        )

    def read(module: str, parts: Parts) -> Iterable[Change]:
        if parts.keys() & SHARED or shared.keys() != SHARED:
            return
        a, b = factors(shared, "vera_A", "vera_B")
        of_inputs, of_outputs = required(parts, "vera_lambda_d", 1), required(parts, "vera_lambda_b", 1)
        if of_inputs.shape[0] != a.shape[0] or not 0 < of_outputs.shape[0] <= b.shape[0]:
            raise UnusableError(
                f"its {of_inputs.shape[0]} and {of_outputs.shape[0]} factors do not fit projections of rank "
                f"{a.shape[0]} with {b.shape[0]} outputs"
            )
        yield Pending(module, lambda weight: _update(module, a, b, of_inputs, of_outputs, weight))

    return read


def _update(
    module: str, a: StoredTensor, b: StoredTensor, of_inputs: StoredTensor, of_outputs: StoredTensor, weight: Weight
) -> Update:
    n_out, n_in, rank = of_outputs.shape[0], weight.shape[1], a.shape[0]
    if n_in > a.shape[1]:
        raise MisfitError(f"the base has {n_in} inputs here, the projections only {a.shape[1]}")
    return Update(
        module,
        Computed((rank, n_in), lambda: np.multiply(a.load()[:, :n_in], of_inputs.load()[:, None])),
        Computed((n_out, rank), lambda: np.multiply(b.load()[:n_out], of_outputs.load()[:, None])),
        1.0,
    )
