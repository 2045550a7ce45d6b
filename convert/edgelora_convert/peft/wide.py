"""Changes whose exact rank is so large that low-rank factors save nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.update import Computed, UnusableError, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgelora_convert.peft.tensors import Parts


def whole(module: str, n_out: int, n_in: int, change: Callable[[], NDArray[np.float32]], scale: float) -> Update:
    """A change [n_out, n_in] of full rank: one factor is the change itself, the other the identity."""
    itself = Computed((n_out, n_in), change)
    size = min(n_out, n_in)
    identity = Computed((size, size), lambda: np.eye(size, dtype=np.float32))
    return Update(module, itself, identity, scale) if size == n_out else Update(module, identity, itself, scale)


def refuse_convolution(parts: Parts, *names: str) -> None:
    """Raise UnusableError for the tensors that only convolutions have."""
    if any(name in parts for name in names):
        raise UnusableError("it is a convolution, which language models of this kind do not have")
