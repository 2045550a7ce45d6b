"""The second tier: adapters ready to be copied into the pool, in memory under a budget of their own."""

from __future__ import annotations

from collections import OrderedDict

from edgelora.engine.factors import PreparedAdapter


class PreparedCache:
    """Prepared adapters by content hash, at most ``budget`` bytes of them; the least recently put go first."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._adapters: OrderedDict[str, PreparedAdapter] = OrderedDict()
        self.nbytes = 0

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._adapters

    def __len__(self) -> int:
        return len(self._adapters)

    def put(self, adapter: PreparedAdapter) -> None:
        """Keep ``adapter`` if there is room for it at all. One without factors is nothing to keep."""
        self.take(adapter.file.sha256)
        if 0 < adapter.nbytes <= self.budget:
            self._leave(adapter.nbytes)
            self._adapters[adapter.file.sha256] = adapter
            self.nbytes += adapter.nbytes

    def take(self, sha256: str) -> PreparedAdapter | None:
        """The adapter, which is not kept any more; None if it was not."""
        adapter = self._adapters.pop(sha256, None)
        self.nbytes -= adapter.nbytes if adapter else 0
        return adapter

    def _leave(self, n_bytes: int) -> None:
        """Drop adapters until ``n_bytes`` of the budget are free, or nothing is kept."""
        while self._adapters and self.nbytes + n_bytes > self.budget:
            self.take(next(iter(self._adapters)))
