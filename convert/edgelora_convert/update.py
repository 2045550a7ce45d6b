"""The one form that everything a source holds is turned into: a low-rank change of one module's weight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edgelora_convert.storage.stored import StoredTensor


class Matrix(Protocol):
    """A matrix that is read or computed when it is needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Known without loading."""

    def load(self) -> NDArray[np.float32]:
        """The values, float32 of ``shape``."""


@dataclass(frozen=True)
class Computed:
    """A matrix made of others by ``compute``, each time it is loaded."""

    shape: tuple[int, ...]
    compute: Callable[[], NDArray[np.float32]]

    def load(self) -> NDArray[np.float32]:
        """The values. What is too large becomes infinite, without a warning."""
        with np.errstate(all="ignore"):
            return self.compute()


def transposed(matrix: Matrix) -> Computed:
    """The same values, rows as columns."""
    return Computed(matrix.shape[::-1], lambda: np.ascontiguousarray(matrix.load().T))


class UnusableError(ValueError):
    """What a source holds for one module cannot be used. The text says why, without naming the module."""


class MisfitError(UnusableError):
    """It cannot be used with this base; with the one that it was trained on it could."""


class Kind(Enum):
    """What an update changes: the matrix of a product, or a table that is looked up."""

    LINEAR = "an ordinary layer"
    EMBEDDING = "an embedding"


@dataclass(frozen=True)
class Update:
    """The weight of ``module`` changes by ``scale``·B·A.

    A is [rank, n_in] and B [n_out, rank], in the row and column order of the framework that trained them; of an
    embedding, n_in is the vocabulary. ``module`` is the path without wrappers, such as
    ``model.layers.0.self_attn.q_proj``. ``expert`` is the place in a stack of experts whose names do not carry it.

    ``magnitude`` [n_out] makes it a DoRA: the rows of W + scale·B·A are brought to these norms. ``tied``: input and
    output were trained as one matrix, so where the base has one, what changes the embedding changes the output too,
    and what was stored for the output is the same once more.
    """

    module: str
    a: Matrix
    b: Matrix
    scale: float
    kind: Kind = Kind.LINEAR
    expert: int | None = None
    magnitude: Matrix | None = None
    tied: bool = False

    @property
    def rank(self) -> int:
        """Columns of B."""
        return self.b.shape[1]


class Weight(Protocol):
    """What the base has for a module, in the row and column order of the framework that trained it."""

    @property
    def arch(self) -> str:
        """The architecture of the base, as GGUF names it."""

    @property
    def shape(self) -> tuple[int, int]:
        """[n_out, n_in] of a layer (of one expert, where there are several), [vocabulary, width] of an embedding."""

    def rows(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Some rows, dequantized: float32 [len(indices), columns]."""


@dataclass(frozen=True)
class Pending:
    """An update that the source alone does not determine, because it lacks a size or replaces rows of the base.

    ``complete`` makes the update with the base's weight of ``module`` at hand, and raises UnusableError where the two
    do not go together.
    """

    module: str
    complete: Callable[[Weight], Update]
    kind: Kind = Kind.LINEAR
    expert: int | None = None


@dataclass(frozen=True)
class Whole:
    """The ``parameter`` of ``module`` takes new ``values``, or changes by ``added`` times them; only a merge can do it.

    A weight is [n_out, n_in], that of an embedding [vocabulary, width], that of a norm and any bias [n]. ``tied`` and
    ``expert`` are as in :class:`Update`.
    """

    module: str
    parameter: Literal["weight", "bias"]
    values: StoredTensor
    kind: Kind = Kind.LINEAR
    added: float | None = None
    tied: bool = False
    expert: int | None = None
