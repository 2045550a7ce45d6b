"""A program with a child process that dies as loudly as native code can; run as a script, in a terminal."""

from __future__ import annotations

import ctypes
import os
from multiprocessing.connection import Connection

from edgelora.engine.isolated import IsolatedProcess


def die_loudly(connection: Connection) -> None:
    """Write to both streams, past Python, and break the heap: the C library has a last word to say then."""
    os.write(1, b"native stdout\n")
    os.write(2, b"native stderr\n")
    libc = ctypes.CDLL(None)
    libc.printf(b"native printf\n")
    libc.fflush(None)
    libc.free(ctypes.c_void_p(ctypes.addressof(ctypes.create_string_buffer(64)) + 8))


if __name__ == "__main__":
    from support.noisy import die_loudly as importable

    noisy = IsolatedProcess("noisy", importable)
    noisy.process.join()
    print("it said:", noisy.why_it_ended().message)
    noisy.close()
