"""Which adapters are loaded, how, and who uses them.

An adapter is held by the pool where that works, else by llama.cpp itself (exclusive mode). One that is in use is never
touched: it is acquired with its selection when a sequence is admitted, and released exactly once at its end.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from dataclasses import replace

from edgelora.engine.factors import PreparedAdapter, prepare
from edgelora.engine.pool import Pool
from edgelora.engine.probe import Probe
from edgelora.engine.rows import PoolFullError
from edgelora.errors import MemoryLimitError, UnknownAdapterError
from edgelora.gguf.header import Header
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model
from edgelora.types import AdapterEvicted, AdapterFile, AdapterLoaded, AdapterStatus, AttestedAdapter, KVType, Selection


class Residency:
    """All adapters an engine has met, by content hash."""

    def __init__(
        self, model: Model, context: Context, base: Header, pool: Pool, probe: Probe, dtype: KVType, exclusive: str
    ) -> None:
        self._model, self._context, self._base = model, context, base
        self._pool, self._probe, self._dtype = pool, probe, dtype
        self.exclusive = exclusive  # why the pool is not used; empty while it is
        self._statuses: dict[str, AdapterStatus] = {}
        self._files: dict[str, AdapterFile] = {}
        self._resident: OrderedDict[str, None] = OrderedDict()  # least recently used first
        self._natives: dict[str, NativeAdapter] = {}
        self._users: Counter[str] = Counter()
        self.events: list[AdapterLoaded | AdapterEvicted] = []

    # --- what the engine's callers ask for

    def load(self, file: AdapterFile) -> AdapterStatus:
        """Make ``file`` resident and prove that it does something. Raises AdapterError, GGUFError or EngineError."""
        if file.sha256 not in self._resident:
            self._make_resident(file)
        self._files[file.sha256] = file  # the name and path given last: it may have been moved
        status = self._statuses[file.sha256] = replace(self._statuses[file.sha256], name=file.name)
        return status

    def know(self, file: AdapterFile, status: AdapterStatus) -> None:
        """Take over what a former engine found out about ``file``, as if it had been loaded and evicted here."""
        self._files.setdefault(file.sha256, file)
        self._statuses.setdefault(file.sha256, replace(status, resident=False))

    def evict(self, sha256: str) -> bool:
        """Give the memory of an adapter back. False, and nothing done, while it is in use."""
        if self._users[sha256]:
            return False
        if sha256 in self._resident:
            self._unload(sha256)
        return True

    def require_known(self, selection: Selection) -> None:
        """Raise UnknownAdapterError for a member that was never loaded."""
        for sha256 in selection.adapters:
            if sha256 not in self._files:
                raise UnknownAdapterError(f"no adapter with the content hash {sha256[:12]} was loaded into the engine")

    def attest(self, selection: Selection) -> tuple[AttestedAdapter, ...]:
        """What an answer under ``selection`` is computed with."""
        return tuple(
            AttestedAdapter(self._files[member.adapter].name, member.adapter, member.scale)
            for member in selection.members
        )

    # --- what the scheduler asks for

    def acquire(self, selection: Selection) -> None:
        """Make every member resident and keep it so until :meth:`release`.

        Raises PoolFullError while the room is in use by others, and the errors of :meth:`load`; then nothing is held.
        """
        self._users.update(selection.adapters)
        try:
            for sha256 in selection.adapters:
                self.load(self._files[sha256])
                self._resident.move_to_end(sha256)
            if not self.is_pooled(selection):
                self.natives(selection)
        except Exception:
            self.release(selection)
            raise

    def release(self, selection: Selection) -> None:
        """The counterpart of one :meth:`acquire`."""
        self._users.subtract(selection.adapters)

    def is_pooled(self, selection: Selection) -> bool:
        """Can sequences of ``selection`` share a batch with others? Its members must be resident."""
        return not self.exclusive and all(sha256 in self._pool for sha256 in selection.adapters)

    def natives(self, selection: Selection) -> list[tuple[NativeAdapter, float]]:
        """The adapters that llama.cpp must have set for ``selection`` in exclusive mode, with their scales."""
        for sha256 in selection.adapters:
            if sha256 not in self._natives:  # resident in the pool, mixed with one that the pool cannot hold
                file = prepare(self._files[sha256], self._base, self._dtype).file  # checked again: it may have changed
                self._natives[sha256] = NativeAdapter(self._model, file.path)
        return [(self._natives[member.adapter], member.scale) for member in selection.members]

    def close(self) -> None:
        """Free everything."""
        self._context.set_adapters([])
        for native in self._natives.values():
            native.free()
        self._natives.clear()
        self._pool.close()

    # --- how

    def _make_resident(self, file: AdapterFile) -> None:
        began = time.perf_counter()
        adapter = prepare(file, self._base, self._dtype)
        effect, ignored = self._place(adapter)
        self._resident[file.sha256] = None
        status = AdapterStatus(
            sha256=file.sha256,
            name=file.name,
            rank=adapter.rank,
            n_bytes=adapter.n_bytes,
            targets=adapter.targets,
            effect=effect,
            ignored=ignored,
            load_ms=(time.perf_counter() - began) * 1e3,
        )
        self._statuses[file.sha256] = status
        self.events.append(AdapterLoaded(status))

    def _place(self, adapter: PreparedAdapter) -> tuple[float, tuple[str, ...]]:
        """Put the adapter where it belongs. Returns its effect on the logits and what of it is ignored."""
        sha256, known = adapter.file.sha256, self._statuses.get(adapter.file.sha256)
        if self.exclusive or adapter.unpoolable:
            native = NativeAdapter(self._model, adapter.file.path)
            try:
                effect = known.effect if known else self._probe.native(native).effect
            except BaseException:
                native.free()
                raise
            self._natives[sha256] = native
            return effect, adapter.ignored
        self._add_to_pool(adapter)
        try:
            effect = known.effect if known else self._probe.pooled(self._pool, sha256).effect
        except BaseException:
            self._pool.remove(sha256)
            raise
        return effect, (*adapter.ignored, *self._pool.ignored(adapter))

    def _add_to_pool(self, adapter: PreparedAdapter) -> None:
        while True:
            try:
                return self._pool.add(adapter)
            except PoolFullError as error:
                pooled = [sha256 for sha256 in self._resident if sha256 in self._pool]
                idle = next((sha256 for sha256 in pooled if not self._users[sha256]), None)
                if idle is None and pooled:
                    raise
                if idle is None:
                    raise MemoryLimitError(
                        f"the adapter {adapter.file.name} has rank {adapter.rank}, {error.missing} rows more than the "
                        "memory for adapters allows",
                        "Close other programs, or choose a smaller --ctx.",
                    ) from None
                self._unload(idle)

    def _unload(self, sha256: str) -> None:
        del self._resident[sha256]
        native = self._natives.pop(sha256, None)
        if native:
            self._context.set_adapters([])
            native.free()
        if sha256 in self._pool:
            self._pool.remove(sha256)
        self._statuses[sha256] = replace(self._statuses[sha256], resident=False)
        self.events.append(AdapterEvicted(sha256))
