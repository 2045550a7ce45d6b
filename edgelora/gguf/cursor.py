"""A bounds-checked position in the bytes of a GGUF file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edgelora.errors import GGUFError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from mmap import mmap
    from pathlib import Path

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

MAX_STRINGS = 1 << 26
"""In one array; vocabularies have 2^18 or so. Stepping over more would only take time."""


class Cursor:
    """Reads little-endian values one after another; running past the end is a GGUFError, never anything else."""

    def __init__(self, data: mmap | bytes, path: Path) -> None:
        self.data = data
        self.path = path
        self.pos = 0

    def fail(self, problem: str, hint: str = "") -> GGUFError:
        """The error to raise for a problem in this file."""
        return GGUFError(f"{self.path}: {problem}", hint)

    def truncated(self) -> GGUFError:
        """The error for a header that ends too early or announces a length beyond the end."""
        return self.fail(
            f"the header is cut off or damaged (at byte {self.pos} of {len(self.data)})",
            "Download or copy the file again.",
        )

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return len(self.data) - self.pos

    def take(self, n_bytes: int) -> bytes:
        """The next ``n_bytes`` bytes."""
        if n_bytes > self.remaining:
            raise self.truncated()
        start = self.pos
        self.pos += n_bytes
        return self.data[start : self.pos]

    def u32(self) -> int:
        """The next unsigned 32-bit integer."""
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        """The next unsigned 64-bit integer."""
        return int(_U64.unpack(self.take(8))[0])

    def count(self, least_bytes: int, what: str) -> int:
        """A 64-bit count of things that take at least ``least_bytes`` each, so that no count can exceed the file."""
        value = self.u64()
        if value * least_bytes > self.remaining:
            raise self.fail(f"the header announces {value} {what}, more than fit into the file", "The file is damaged.")
        return value

    def string(self) -> bytes:
        """A string: 64-bit length, then the bytes."""
        return self.take(self.u64())

    def skip_strings(self, count: int) -> None:
        """Step over ``count`` strings without making objects of them; this loop is what a big vocabulary costs."""
        if count > MAX_STRINGS:
            raise self.fail(f"the header has an array of {count} strings, more than any vocabulary")
        unpack = _U64.unpack_from
        data, pos, end = self.data, self.pos, len(self.data)
        try:
            for _ in range(count):
                pos += 8 + unpack(data, pos)[0]
        except (struct.error, OverflowError, IndexError):
            raise self.truncated() from None
        if pos > end:
            raise self.truncated()
        self.pos = pos

    def values(self, code: str, count: int) -> Sequence[int | float | bool]:
        """``count`` numbers of the struct code ``code``."""
        return struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize(f"<{code}")))
