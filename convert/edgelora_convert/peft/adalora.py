"""PEFT's ADALORA type: a singular value decomposition whose values were trained and pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.peft.tensors import factors, matrix, required
from edgelora_convert.update import Computed, UnusableError, Update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora_convert.peft.changes import Adapter, Change, ReadModule
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.storage.stored import StoredTensor

PARAMETERS = frozenset({"lora_A", "lora_B", "lora_E", "ranknum"})


def adalora(adapter: Adapter) -> ReadModule:
    """A reader of ADALORA modules: dW = B·(A*E)·alpha/(ranknum + 1e-5).

    peft/tuners/adalora/layer.py, get_delta_weight. ``ranknum`` stays the initial rank, also after pruning
    (adalora/model.py, resize_modules_by_rank_pattern), and PEFT does not save it. An alpha that is not positive means
    the present rank.
    """
    initial_rank = adapter.fields.count("init_r")
    alpha = adapter.fields.number("lora_alpha")

    def read(module: str, parts: Parts) -> Iterable[Change]:
        if required(parts, "lora_A", 2).shape[0] == 0:
            adapter.warnings.add(module, "AdaLoRA pruned it to rank 0, so it changes nothing")
            return
        a, b = factors(parts, "lora_A", "lora_B")
        values = matrix(parts, "lora_E")
        rank = b.shape[1]
        if values.shape != (rank, 1):
            raise UnusableError(f"its lora_E {list(values.shape)} must be [{rank}, 1]")
        ranknum = _number(required(parts, "ranknum", 1)) if "ranknum" in parts else initial_rank
        scale = (alpha if alpha > 0 else rank) / (ranknum + 1e-5)
        yield Update(module, Computed(a.shape, lambda: np.multiply(a.load(), values.load())), b, scale)

    return read


def _number(tensor: StoredTensor) -> float:
    if tensor.shape != (1,):
        raise UnusableError(f"its ranknum {list(tensor.shape)} must be one number")
    return float(tensor.load()[0])
