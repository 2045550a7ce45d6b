"""The C library's allocator, told to keep what is freed while large arrays come and go.

By itself glibc gives arrays of megabytes back to the system at once, which then clears every page again for the next
one: as much time as the computing in between. Source: mallopt(3).
"""

from __future__ import annotations

import ctypes
import functools

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT, _LARGEST = 256 << 20, 32 << 20


@functools.cache
def keep_freed_memory() -> None:
    """Keep up to 256 MiB for later arrays of up to 32 MiB, until this process ends. Does nothing without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
