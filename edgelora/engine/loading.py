"""Adapter files are read and prepared by one thread beside the decode loop, which only picks up what is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from edgelora.engine.factors import PreparedAdapter
from edgelora.types import AdapterFile

AT_ONCE = 4
"""Files under way or waiting to be picked up, more only of the same selections; each takes the memory of an adapter
outside every budget."""


class Loader:
    """Reads one file after the other. All methods belong to the thread that owns the engine."""

    def __init__(self, prepare: Callable[[AdapterFile], PreparedAdapter]) -> None:
        self._prepare = prepare
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="edgelora-reader")
        self._files: dict[str, Future[PreparedAdapter]] = {}
        self._wanted: set[str] = set()  # asked for since unclaimed was called last
        self._n_seen = self._n_read = 0

    def ready(self, files: Sequence[AdapterFile]) -> bool:
        """Are all of ``files`` prepared? They are begun, all at once, if there is room for one more.

        Those of which one is begun already go first: two selections must not wait for each other with half of theirs.
        Raises what reading or checking one of them raised, once; the next call begins anew.
        """
        if len(self._files) < AT_ONCE or any(file.sha256 in self._files for file in files):
            for file in files:
                self._begin(file)
        return all(self._is_done(file.sha256) for file in files)

    def take(self, sha256: str) -> PreparedAdapter:
        """An adapter that is ready; it is the caller's now."""
        return self._files.pop(sha256).result()

    def give_back(self, adapter: PreparedAdapter) -> None:
        """The counterpart of :meth:`take` where there was no room for it: it is ready as before."""
        future = self._files[adapter.file.sha256] = Future()
        future.set_result(adapter)

    def unclaimed(self) -> Iterator[PreparedAdapter]:
        """What became ready and was not asked for since the last call: whoever wanted it has gone or must wait."""
        for sha256 in [sha256 for sha256, future in self._files.items() if future.done()]:
            if sha256 not in self._wanted:
                future = self._files.pop(sha256)
                if not future.exception():
                    yield future.result()
        self._wanted.clear()

    def has_news(self) -> bool:
        """Was a file read, or refused, since the last call?"""
        seen, self._n_seen = self._n_seen, self._n_read
        return seen < self._n_seen

    def wait(self, timeout: float) -> None:
        """Wait until a file is ready that was not, ``timeout`` seconds at most; not at all if none is under way."""
        under_way = [future for future in self._files.values() if not future.done()]
        if under_way:
            wait(under_way, timeout, FIRST_COMPLETED)

    def close(self) -> None:
        """Wait for the file that is being read, and read no more."""
        self._reader.shutdown(cancel_futures=True)

    def _begin(self, file: AdapterFile) -> None:
        self._wanted.add(file.sha256)
        if file.sha256 not in self._files:
            self._files[file.sha256] = future = self._reader.submit(self._prepare, file)
            future.add_done_callback(self._count)

    def _is_done(self, sha256: str) -> bool:
        future = self._files.get(sha256)
        if future is None or not future.done():
            return False
        if error := future.exception():
            del self._files[sha256]
            raise error
        return True

    def _count(self, _: Future[PreparedAdapter]) -> None:
        self._n_read += 1  # by the reader alone
