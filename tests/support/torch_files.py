"""Files as torch.save writes them, put together by hand: operation by operation of their pickle."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STORAGES = {
    "<f4": "FloatStorage",
    "<f2": "HalfStorage",
    "<u2": "BFloat16Storage",
    "<f8": "DoubleStorage",
    "<i8": "LongStorage",
}
ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def text(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    """LONG1, which holds any whole number."""
    raw = value.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def numbers(values: Iterable[int]) -> bytes:
    """A tuple of whole numbers."""
    return b"(" + b"".join(map(number, values)) + b"t"


def call(function: str, *arguments: bytes) -> bytes:
    """GLOBAL, arguments, REDUCE."""
    module, _, name = function.rpartition(".")
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def storage(key: str, kind: str, n_elements: int) -> bytes:
    """A reference to the member data/KEY."""
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(n_elements) + b"tQ"


def tensor(stored: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    """What torch writes for a view of a storage."""
    return call(
        "torch._utils._rebuild_tensor_v2",
        stored,
        number(offset),
        numbers(shape),
        numbers(strides),
        b"\x89",
        ORDERED_DICT,
    )


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    """A whole pickle."""
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in entries.items()) + b"u."


def write_archive(path: Path, pickle: bytes, data: Mapping[str, bytes], **members: bytes) -> Path:
    """The zip archive around a pickle and the bytes of its storages."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        for name, content in {"byteorder": b"little", **members}.items():
            archive.writestr(f"archive/{name}", content)
        for key, content in data.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def save_torch(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Arrays without gaps, each with a storage of its own; 16-bit unsigned ones are the words of BF16."""
    entries, data = {}, {}
    for key, (name, values) in enumerate(arrays.items()):
        stored = storage(str(key), STORAGES[values.dtype.str], values.size)
        strides = tuple(step // values.itemsize for step in values.strides)
        entries[name] = tensor(stored, values.shape, strides)
        data[str(key)] = values.tobytes()
    return write_archive(path, dictionary(entries), data)
