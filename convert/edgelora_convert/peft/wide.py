"""Changes whose exact rank is so large that low-rank factors save nothing.

LoHa and LoKr store few numbers for changes of any rank. A small file may so stand for more than is worth converting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.update import Computed, UnusableError, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from edgelora_convert.peft.changes import Change
    from edgelora_convert.peft.tensors import Parts


MAX_VALUES = 1 << 21
"""In both factors of a change of full rank: those of a matrix of 1024 by 1024."""


def too_wide(changes: Iterable[Change]) -> dict[str, str]:
    """Why no adapter should hold these changes, by cause: one has full rank, is large, and is not stored like that."""
    for change in changes:
        if isinstance(change, Update) and _is_too_wide(change):
            return {
                "rank": f"the change of {change.module} has the full rank {change.rank}, so an adapter would take more "
                "space than the weights; merge it into its base with edgelora merge, or make a LoRA of it with PEFT's "
                "save_as_lora, more or less exactly as its rank is higher or lower"
            }
    return {}


def _is_too_wide(update: Update) -> bool:
    n_out, n_in = update.b.shape[0], update.a.shape[1]
    computed = isinstance(update.a, Computed) and isinstance(update.b, Computed)
    return computed and update.rank >= min(n_out, n_in) and update.rank * (n_out + n_in) > MAX_VALUES


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
