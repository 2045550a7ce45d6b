"""Which adapters are loaded, how, and who uses them.

An adapter is held by the pool where that works, else by llama.cpp itself (exclusive mode). One that is in use is never
touched: it is acquired with its selection when a sequence is admitted, and released exactly once at its end. What the
pool has no room for moves to a second tier, ready to be copied in again. Files are read beside the decode loop.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from edgelora.engine.adapter_memory import AdapterMemory
from edgelora.engine.factors import PreparedAdapter, prepare
from edgelora.engine.load_times import LoadLog
from edgelora.engine.loading import Loader
from edgelora.engine.natives import Natives
from edgelora.engine.pool import Pool
from edgelora.engine.prepared import PreparedCache
from edgelora.engine.probe import Probe
from edgelora.engine.rows import PoolFullError
from edgelora.errors import MemoryLimitError, UnknownAdapterError
from edgelora.gguf.header import Header
from edgelora.native.context import NativeAdapter
from edgelora.types import (
    AdapterEvicted,
    AdapterFile,
    AdapterLoaded,
    AdapterStatus,
    AttestedAdapter,
    KVType,
    LoadTimes,
    Selection,
)


class Residency:
    """All adapters an engine has met, by content hash. ``budget`` (for pool and natives) and others are in bytes."""

    def __init__(
        self, base: Header, pool: Pool, natives: Natives, probe: Probe, dtype: KVType, exclusive: str,
        *, budget: int, prepared_budget: int,
    ) -> None:  # fmt: skip
        self._pool, self._natives, self._probe = pool, natives, probe
        self._swap_ms = 0.0  # what changing adapters cost when it was measured last, in exclusive mode
        self.exclusive = exclusive  # why the pool is not used; empty while it is
        self._loader = Loader(lambda file: prepare(file, base, dtype))
        self._prepared = PreparedCache(prepared_budget)
        self._statuses: dict[str, AdapterStatus] = {}
        self._files: dict[str, AdapterFile] = {}
        self._pinned: set[str] = set()
        self._users: Counter[str] = Counter()
        self._memory = AdapterMemory(pool, natives, self._prepared, budget, self._is_needed, self._note_unloaded)
        self.loads = LoadLog()
        self.evictions = 0
        self.events: list[AdapterLoaded | AdapterEvicted] = []

    # --- what the engine's callers ask for

    def load(self, file: AdapterFile) -> AdapterStatus | None:
        """Make ``file`` resident and prove that it does something; None while it is being read: ask again.

        Raises AdapterError, GGUFError or EngineError; MemoryLimitError also while the room is in use.
        """
        if file.sha256 not in self._memory:
            if not self._are_ready([file]):
                return None
            if file.sha256 in self._files:
                self._files[file.sha256] = file  # it may have been moved, which is true even if there is no room now
            try:
                self._make_resident([file])
            except PoolFullError:
                raise _no_room(1) from None
        self._files[file.sha256] = file
        status = self._statuses[file.sha256] = replace(self._statuses[file.sha256], name=file.name)
        return status

    def know(self, file: AdapterFile, status: AdapterStatus) -> None:
        """Take over what a former engine found out about ``file``, as if it had been loaded and evicted here."""
        self._files.setdefault(file.sha256, file)
        self._statuses.setdefault(file.sha256, replace(status, resident=False))
        self._swap_ms = status.swap_ms

    def evict(self, sha256: str) -> bool:
        """Give all memory of an adapter back, pinned or not. False, and nothing done, while it is in use."""
        if self._users[sha256]:
            return False
        self._pinned.discard(sha256)
        self._prepared.take(sha256)
        if sha256 in self._memory:
            self._memory.unload(sha256)
            self._memory.trim()
        return True

    def pin(self, sha256: str, pinned: bool) -> None:
        """Never evict an adapter to make room for others, or do so again. Raises UnknownAdapterError."""
        self._require_known([sha256])
        (self._pinned.add if pinned else self._pinned.discard)(sha256)

    def file_of(self, sha256: str) -> AdapterFile:
        """The file of an adapter that was loaded once. Raises UnknownAdapterError."""
        self._require_known([sha256])
        return self._files[sha256]

    def require_known(self, selection: Selection) -> None:
        """Raise UnknownAdapterError for a member that was never loaded."""
        self._require_known(selection.adapters)

    def attest(self, selection: Selection) -> tuple[AttestedAdapter, ...]:
        """What an answer under ``selection`` is computed with."""
        return tuple(
            AttestedAdapter(self._files[member.adapter].name, member.adapter, member.scale)
            for member in selection.members
        )

    # --- what the scheduler asks for

    def is_ready(self, selection: Selection) -> bool:
        """Is every member resident or prepared? The reader begins with those that are not. Raises what it raised."""
        return self._are_ready([self._files[sha256] for sha256 in selection.adapters])

    def acquire(self, selection: Selection) -> bool:
        """Make every member resident and keep it so until :meth:`release`.

        False, and nothing held, while files are being read or others use the room. Raises the errors of :meth:`load`,
        MemoryLimitError if there is no room although nobody uses any; then nothing is held either.
        """
        if not self.is_ready(selection):
            return False
        files = [self._files[sha256] for sha256 in selection.adapters]
        self._users.update(selection.adapters)
        try:
            self._make_resident([file for file in files if file.sha256 not in self._memory])
            for file in files:
                self._memory.touch(file.sha256)
        except PoolFullError:
            self.release(selection)
            if not self.n_used:
                raise _no_room(len(files)) from None
            return False
        except BaseException:
            self.release(selection)
            raise
        return True

    @property
    def n_used(self) -> int:
        """How many holds there are: one for each member of each selection that was acquired and not released."""
        return self._users.total()

    @property
    def memory(self) -> AdapterMemory:
        """What is resident."""
        return self._memory

    @property
    def prepared(self) -> PreparedCache:
        """What is ready to become resident again."""
        return self._prepared

    def release(self, selection: Selection) -> None:
        """The counterpart of one successful :meth:`acquire`."""
        self._users.subtract(selection.adapters)

    def natives(self, selection: Selection) -> list[tuple[NativeAdapter, float]]:
        """The adapters that llama.cpp must have set for ``selection`` in exclusive mode, with their scales."""
        return [(self._natives[member.adapter], member.scale) for member in selection.members]

    # --- once a step

    def tick(self) -> bool:
        """Keep what nobody waits for any more.

        True if a file was read since the last time, so that :meth:`acquire` may have another answer.
        """
        for adapter in self._loader.unclaimed():
            if not self.exclusive:
                self._prepared.put(adapter)
        return self._loader.has_news()

    def wait(self, timeout: float) -> None:
        """Wait until a file is read, ``timeout`` seconds at most; not at all if none is being read."""
        self._loader.wait(timeout)

    def close(self) -> None:
        """Free everything."""
        self._loader.close()
        self._memory.close()

    # --- how

    def _require_known(self, adapters: Sequence[str]) -> None:
        for sha256 in adapters:
            if sha256 not in self._files:
                raise UnknownAdapterError(f"no adapter with the content hash {sha256[:12]} was loaded into the engine")

    def _are_ready(self, files: Sequence[AdapterFile]) -> bool:
        missing = [file for file in files if file.sha256 not in self._memory and file.sha256 not in self._prepared]
        return not missing or self._loader.ready(missing)

    def _make_resident(self, files: Sequence[AdapterFile]) -> None:
        """Place adapters that are ready. Raises PoolFullError where others use the room; then they are ready still."""
        ready = [self._prepared.take(file.sha256) or self._loader.take(file.sha256) for file in files]
        try:
            while ready:  # all were taken first: making room for one could push another out of the second tier
                self._make_one_resident(ready[0])
                del ready[0]
        except PoolFullError:
            for adapter in ready:
                self._loader.give_back(adapter)
            raise

    def _make_one_resident(self, adapter: PreparedAdapter) -> None:
        times = self._place(adapter)
        if times.read_ms:
            self.loads.note(times)
        placed = time.perf_counter()
        effect, ignored = self._proof(adapter)
        status = AdapterStatus(
            sha256=adapter.file.sha256,
            name=self._files.get(adapter.file.sha256, adapter.file).name,
            rank=adapter.rank,
            n_bytes=adapter.n_bytes,
            targets=adapter.targets,
            effect=effect,
            ignored=ignored,
            load_ms=times.total_ms + (time.perf_counter() - placed) * 1e3,
            times=times,
            swap_ms=self._swap_ms,
        )
        self._statuses[status.sha256] = status
        self.events.append(AdapterLoaded(status))

    def _place(self, adapter: PreparedAdapter) -> LoadTimes:
        """Put the adapter where it belongs."""
        native, began = bool(self.exclusive), time.perf_counter()
        self._memory.make_room(adapter, native=native)
        roomy = time.perf_counter()
        self._memory.add(adapter, native=native)
        copied = time.perf_counter()
        return LoadTimes(adapter.read_ms, adapter.prepare_ms, (roomy - began) * 1e3, (copied - roomy) * 1e3)

    def _proof(self, adapter: PreparedAdapter) -> tuple[float, tuple[str, ...]]:
        """The effect on the logits of an adapter that was just placed, and what of it is ignored."""
        sha256 = adapter.file.sha256
        if known := self._statuses.get(sha256):
            return known.effect, known.ignored
        try:
            if sha256 in self._natives:
                native = self._natives[sha256]
                self._swap_ms = self._probe.swap_ms(native)
                return self._probe.native(native).effect, adapter.ignored
            ignored = (*adapter.ignored, *self._pool.ignored(adapter))
            return self._probe.pooled(self._pool, sha256).effect, ignored
        except BaseException:
            self._memory.unload(sha256)
            self._memory.trim()
            raise

    def _is_needed(self, sha256: str) -> bool:
        return bool(self._users[sha256]) or sha256 in self._pinned

    def _note_unloaded(self, sha256: str) -> None:
        if sha256 in self._statuses:
            self._statuses[sha256] = replace(self._statuses[sha256], resident=False)
            self.evictions += 1
            self.events.append(AdapterEvicted(sha256))


def _no_room(adapters: int) -> MemoryLimitError:
    """What to say when so many adapters do not fit together, beside those that are pinned or in use."""
    which = "this adapter" if adapters == 1 else f"these {adapters} adapters together"
    return MemoryLimitError(
        f"there is no memory left for {which}",
        "Wait for a running answer to end, unpin an adapter, or choose a larger --adapter-memory.",
    )
