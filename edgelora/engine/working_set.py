"""Which adapters running sequences have used of late."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

REMEMBERED = 16
"""Steps after which an adapter that no sequence uses no longer counts."""


class WorkingSet:
    """Counts steps. The time of one does not depend on how many adapters are resident."""

    def __init__(self) -> None:
        self._step = 0
        self._last: OrderedDict[str, int] = OrderedDict()  # the step of each one's last use, oldest first

    def forget(self, adapter: str) -> None:
        """It is no longer resident."""
        self._last.pop(adapter, None)

    def step(self, adapters: Iterable[str]) -> None:
        """One step with ``adapters`` in use."""
        self._step += 1
        for adapter in adapters:
            self._last[adapter] = self._step
            self._last.move_to_end(adapter)
        while self._last and next(iter(self._last.values())) <= self._step - REMEMBERED:
            self._last.popitem(last=False)

    @property
    def adapters(self) -> frozenset[str]:
        """Those of the last steps."""
        return frozenset(self._last)
