"""Writes the merged file: untouched tensors copied, the others streamed through in pieces of rows on all cores.

Every piece knows where its bytes belong, so workers read, compute and write independently of one another, and no
more than a few pieces are in memory.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from edgelora.errors import GGUFError, MergeError, QuantizationError
from edgelora.merge.base import opened
from edgelora.merge.layout import Rewrite
from edgelora.native.allocator import keep_freed_memory
from edgelora.native.blas import one_blas_thread
from edgelora.native.quantize import dequantize, row_bytes, rows_are_valid
from edgelora.types import Progress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import FileIO
    from pathlib import Path

    from edgelora.merge.base import BaseTensor
    from edgelora.merge.layout import Layout, Placed
    from edgelora.types import ReportProgress

PIECE_VALUES = 1 << 20
"""Values that are worked on at once by each thread: 4 MiB of float32, from where on numpy asks for huge pages. Half as
many took a third more processor time on a 1.5B base, twice as many no less."""

COPY_BYTES = 8 << 20
"""Bytes of untouched tensors that are copied at once."""

_STAGE = "writing"
_NO_COPY = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}


def write_layout(
    path: Path,
    layout: Layout,
    *,
    threads: int | None = None,
    report: ReportProgress = ignore_progress,
) -> None:
    """Write the file at ``path``, which is not complete before this returns; see :func:`output.replacing`.

    ``report`` is called between pieces; what it raises ends the work. Raises GGUFError where the base cannot be read,
    MergeError where values cannot be stored, OSError where ``path`` cannot be written.
    """
    threads = threads or len(os.sched_getaffinity(0))
    keep_freed_memory()
    with path.open("wb", buffering=0) as file, one_blas_thread():
        file.truncate(layout.size)
        done = os.pwrite(file.fileno(), layout.head, 0)
        pieces = (partial(piece, file) for placed in layout.tensors for piece in _pieces(placed))
        for nbytes in _results(pieces, threads):
            done += nbytes
            report(Progress(_STAGE, done, layout.size, "bytes"))


def _results(pieces: Iterable[Callable[[], int]], threads: int) -> Iterator[int]:
    """The results of all pieces, in order, with a few of them under way; an error ends those that have not begun."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[int]] = deque()
    try:
        for piece in pieces:
            waiting.append(pool.submit(piece))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _pieces(placed: Placed) -> Iterator[Callable[[FileIO], int]]:
    if isinstance(placed.content, Rewrite):
        n_rows = max(1, PIECE_VALUES // placed.content.tensor.shape[0])
        for first in range(0, placed.content.tensor.n_rows, n_rows):
            count = min(n_rows, placed.content.tensor.n_rows - first)
            yield partial(_rewrite, placed.content, placed.offset, first, count)
    else:
        for start in range(0, placed.nbytes, COPY_BYTES):
            count = min(COPY_BYTES, placed.nbytes - start)
            yield partial(_copy, placed.content, placed.offset, start, count)


def _rewrite(rewrite: Rewrite, offset: int, first: int, count: int, target: FileIO) -> int:
    """Read, change, encode and write ``count`` rows from ``first`` on; the bytes written."""
    tensor = rewrite.tensor
    try:
        old = tensor.rows(first, count)
        values = dequantize(tensor.type_name, old)
        if rewrite.change is not None:
            values = rewrite.change.apply(first, values)
        raw = rewrite.encode(first, values, old)
    except QuantizationError as error:
        raise MergeError(f"{tensor.name}: {error.message}", error.hint) from None
    width = row_bytes(rewrite.type_name, tensor.shape[0])
    if raw.shape != (count, width) or not rows_are_valid(rewrite.type_name, raw):
        raise MergeError(f"{tensor.name}: the new rows cannot be stored as {rewrite.type_name}")
    _write_all(target, raw.data.cast("B"), offset + first * width)
    return raw.nbytes


def _write_all(target: FileIO, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(target.fileno(), data, offset)
        data, offset = data[written:], offset + written


def _copy(tensor: BaseTensor, offset: int, start: int, count: int, target: FileIO) -> int:
    """Copy ``count`` bytes of a tensor from ``start`` on."""
    with opened(tensor.path) as source:
        at, end = tensor.info.offset + start, tensor.info.offset + start + count
        shift = offset - tensor.info.offset
        while at < end:
            copied = _copy_some(source, target, at, at + shift, end - at)
            if not copied:
                raise GGUFError(f"{tensor.path}: the file ends within {tensor.name}", "Was it replaced meanwhile?")
            at += copied
    return count


def _copy_some(source: FileIO, target: FileIO, at: int, to: int, count: int) -> int:
    """Copy within the kernel where the file systems can; how many bytes it were."""
    try:
        return os.copy_file_range(source.fileno(), target.fileno(), count, at, to)
    except OSError as error:
        if error.errno not in _NO_COPY:
            raise
    data = os.pread(source.fileno(), min(count, 1 << 20), at)
    _write_all(target, memoryview(data), to)
    return len(data)
