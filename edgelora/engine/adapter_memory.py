"""Where resident adapters are: in the pool, or in exclusive mode with llama.cpp, within one budget.

The least recently used go first. What the pool gives up to make room moves to the second tier, from which it comes back
with a copy.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable

from edgelora.engine.factors import PreparedAdapter
from edgelora.engine.natives import Natives
from edgelora.engine.pool import Pool
from edgelora.engine.prepared import PreparedCache
from edgelora.engine.rows import PoolFullError
from edgelora.errors import AdapterTooLargeError, EngineError


class AdapterMemory:
    """Adapters that ``is_needed`` says so of stay; ``unloaded`` is told of every other one that goes."""

    def __init__(
        self, pool: Pool, natives: Natives, prepared: PreparedCache, budget: int,
        is_needed: Callable[[str], bool], unloaded: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._pool, self._natives, self._prepared, self._budget = pool, natives, prepared, budget
        self._is_needed, self._unloaded = is_needed, unloaded
        self._adapters: OrderedDict[str, None] = OrderedDict()  # least recently used first

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._adapters

    def __len__(self) -> int:
        return len(self._adapters)

    @property
    def nbytes(self) -> int:
        """The memory of pool and natives together, in bytes."""
        return self._pool.nbytes + self._natives.nbytes

    def touch(self, sha256: str) -> None:
        """A resident adapter is used."""
        self._adapters.move_to_end(sha256)

    def make_room(self, adapter: PreparedAdapter, *, native: bool) -> None:
        """Evict others, and grow the pool, as far as :meth:`add` needs it.

        Raises PoolFullError where all the room is needed by others, AdapterTooLargeError where all the room there is
        would not do, and then nobody was evicted; EngineError from llama.cpp.
        """
        if native:
            self._make_native_room(adapter)
        else:
            self._make_room_in_the_pool(adapter)

    def add(self, adapter: PreparedAdapter, *, native: bool) -> None:
        """Make ``adapter`` resident, for which there is room. Raises AdapterError."""
        if native:
            self._natives.add(adapter)
        else:
            self._pool.add(adapter)
        self._adapters[adapter.file.sha256] = None

    def unload(self, sha256: str) -> None:
        """Take a resident adapter out. The pool keeps its size; see :meth:`trim`."""
        del self._adapters[sha256]
        self._natives.remove(sha256)
        if sha256 in self._pool:
            self._pool.remove(sha256)
        self._unloaded(sha256)

    def trim(self) -> None:
        """Give memory back if less than half of the pool is used."""
        if self._pool.is_wasteful:
            with contextlib.suppress(EngineError):  # then it stays as it is
                self._pool.shrink()

    def close(self) -> None:
        """Free everything."""
        self._natives.close()
        self._pool.close()

    def _make_native_room(self, adapter: PreparedAdapter) -> None:
        if adapter.n_bytes > self._budget:
            raise _too_large(adapter, f"{adapter.n_bytes / 1e6:,.1f} MB")
        while self._natives.nbytes + adapter.n_bytes > self._budget:
            self._evict_one(adapter.rank)

    def _make_room_in_the_pool(self, adapter: PreparedAdapter) -> None:
        if missing := self._pool.missing_rows(adapter, alone=True):
            raise _too_large(adapter, f"rank {adapter.rank}, {missing} rows too many")
        while missing := self._pool.missing_rows(adapter):
            self._evict_one(missing)
        if not self._pool.fits(adapter):
            self._pool.grow_for(adapter)

    def _evict_one(self, missing: int) -> None:
        idle = next((sha256 for sha256 in self._adapters if not self._is_needed(sha256)), None)
        if idle is None:
            raise PoolFullError(missing)
        self._move_down(idle)

    def _move_down(self, sha256: str) -> None:
        if sha256 in self._pool and self._prepared.budget:
            self._prepared.put(self._pool.copy_of(sha256))
        self.unload(sha256)


def _too_large(adapter: PreparedAdapter, why: str) -> AdapterTooLargeError:
    return AdapterTooLargeError(
        f"the adapter {adapter.file.name} is larger than the memory for adapters ({why})",
        "Choose a larger --adapter-memory or a smaller --ctx, or close other programs.",
    )
