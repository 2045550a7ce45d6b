"""Ways to store changed rows in a type."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgelora.merge.grids import grid_of, with_codes
from edgelora.merge.kept import Kept
from edgelora.merge.moments import by_input
from edgelora.merge.rounding import Chain, chains, rounded
from edgelora.native.quantize import dequantize, quantize

if TYPE_CHECKING:
    from edgelora.merge.grids import Bytes, Floats


class Encode(Protocol):
    """Stores rows, whatever their place, from their new values ``[n, n_cols]`` and the stored old rows.

    Several threads may call it. Raises QuantizationError for values that the type cannot hold.
    """

    def __call__(self, values: Floats, old: Bytes) -> Bytes:
        """The new rows, uint8 ``[n, row_bytes]``."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Rounding as ggml does it, with scales of its own choice, which ``importance`` float32 ``[n_cols]`` guides."""

    type_name: str
    importance: Floats | None = None

    def __call__(self, values: Floats, old: Bytes) -> Bytes:
        """See :class:`Encode`; the old rows do not matter."""
        return quantize(self.type_name, values, importance=self.importance)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Rounding that lets errors cancel where activations go together: codes are chosen, scales given.

    The scales are those of the old rows, or with ``fresh`` those that ggml chooses for the new values.
    """

    type_name: str
    order: Order
    fresh: bool

    def __call__(self, values: Floats, old: Bytes) -> Bytes:
        """See :class:`Encode`."""
        given = quantize(self.type_name, values, importance=self.order.importance) if self.fresh else old
        codes = rounded(grid_of(self.type_name, given), values, self.order.take(len(values)))
        return with_codes(self.type_name, given, codes)


class Order:
    """The order of rounding for ``moments`` float32 ``[n_cols, n_cols]``.

    It may be as large as the tensor: it is worked out when it is needed and let go after ``n_rows``.
    """

    def __init__(self, moments: Floats, n_rows: int) -> None:
        self.importance = by_input(moments)
        self._moments, self._left = moments, n_rows
        self._chains: list[Chain] | None = None
        self._lock = threading.Lock()

    def take(self, n_rows: int) -> list[Chain]:
        """For the next ``n_rows`` rows. Threads may call it."""
        with self._lock:
            found = self._chains or chains(self._moments)
            self._left -= n_rows
            self._chains = found if self._left > 0 else None
            return found


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row encoder (layout.RowEncoder) that counts in ``kept`` what is kept of the change.

    Rows that do not change are bit for bit as before where the type stays.
    """

    encode: Encode
    old_type: str
    new_type: str
    kept: Kept

    def __call__(self, first_row: int, values: Floats, old: Bytes) -> Bytes:
        """Store rows; where they stand does not matter."""
        before = dequantize(self.old_type, old)
        raw = self._encoded(before, values, old)
        self.kept.add(before, values, dequantize(self.new_type, raw))
        return raw

    def _encoded(self, before: Floats, values: Floats, old: Bytes) -> Bytes:
        changed = (values != before).any(1)
        if self.new_type != self.old_type or changed.all():
            return self.encode(values, old)
        raw = old.copy()
        if changed.any():
            raw[changed] = self.encode(values[changed], old[changed])
        return raw
