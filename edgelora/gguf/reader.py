"""Reads the header of a GGUF file: quickly, and refusing whatever llama.cpp would refuse or crash on.

The format and its checks are those of ggml/src/gguf.cpp in llama.cpp. Only little-endian files of version 2 and 3
are read, as llama.cpp does on the machines this project runs on.
"""

from __future__ import annotations

import mmap
import stat
from contextlib import contextmanager
from pathlib import Path
from struct import calcsize
from typing import TYPE_CHECKING

from edgelora.errors import GGUFError
from edgelora.gguf.cursor import Cursor
from edgelora.gguf.ggml_types import GGML_TYPES, SCALAR_FORMATS, ValueType
from edgelora.gguf.header import Header, MetadataArray, MetadataValue, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from os import PathLike

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
MAX_NAME_BYTES = 63  # GGML_MAX_NAME is 64 with the final zero
MAX_DIMS = 4
MAX_ELEMENTS = 2**63 - 1

_LEAST_VALUE_BYTES = 8 + 4 + 1  # key length, value type, one byte of value
_LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8  # name length, dimensions, type, offset

_NO_FILE = "Give the path of a GGUF file; edgelora bases list shows bases that have names."
_NO_GGUF = "A base is a whole model as a GGUF; an adapter is a GGUF, or a PEFT or MLX folder."
_OTHER_FORMATS = (
    (b"version https://git-lfs", "it is a Git LFS pointer, not the file itself", "Fetch it with `git lfs pull`."),
    (b"PK\x03\x04", "it is a zip archive or a PyTorch file, not a GGUF", ""),
    (b"ggla", "it is an adapter in the old ggla format", "Convert the original PEFT folder instead."),
    (b"ggjt", "it is a model in the old GGML format", "Get the model as a GGUF file."),
)


def read_header(path: str | PathLike[str]) -> Header:
    """Read metadata and tensor infos of the GGUF file at ``path``; tensor data is not touched.

    Raises GGUFError for anything that is not a complete, well-formed GGUF in one file.
    """
    return _require_whole(read_part(path))


def read_part(path: str | PathLike[str]) -> Header:
    """Read one GGUF file as it is, be it a whole model or one part of a split one.

    Raises GGUFError for anything that is not a complete, well-formed GGUF.
    """
    with _opened(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _parse(Cursor(data, Path(path)))


def read_whole(path: str | PathLike[str]) -> tuple[Header, bytes]:
    """The header of the GGUF file at ``path`` and all its bytes, read once, so that both are of the same moment.

    Raises GGUFError as :func:`read_header` does.
    """
    with _opened(path) as file:
        data = file.read()
    return _require_whole(_parse(Cursor(data, Path(path)))), data


def _require_whole(header: Header) -> Header:
    parts = header.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise GGUFError(
            f"{header.path}: it is one of {parts} parts of a split model",
            "Join the parts first: llama-gguf-split --merge FIRST_PART.gguf OUT.gguf",
        )
    return header


@contextmanager
def _opened(path: str | PathLike[str]) -> Iterator[FileIO]:
    """The file at ``path``, which is not empty, for reading; whatever the system reports while it is, as GGUFError."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise GGUFError(f"{path}: this is no ordinary file")
        with path.open("rb", buffering=0) as file:
            if path.stat().st_size == 0:
                raise GGUFError(f"{path}: the file is empty", "Download or copy it again.")
            yield file
    except FileNotFoundError:
        raise GGUFError(f"{path}: no such file", _NO_FILE) from None
    except IsADirectoryError:
        raise GGUFError(f"{path}: this is a folder, not a GGUF file", "Give the GGUF file in it.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise GGUFError(f"{path}: cannot be read ({reason or error})") from None


def _parse(cursor: Cursor) -> Header:
    version = _version(cursor)
    n_tensors = cursor.count(_LEAST_TENSOR_BYTES, "tensors")
    n_values = cursor.count(_LEAST_VALUE_BYTES, "metadata values")
    metadata, value_types, spans = _metadata(cursor, n_values)
    alignment = _alignment(cursor, metadata, value_types)
    tensors = _tensors(cursor, n_tensors, alignment)
    return Header(
        path=cursor.path,
        version=version,
        file_size=len(cursor.data),
        alignment=alignment,
        metadata=metadata,
        value_types=value_types,
        spans=spans,
        tensors=tensors,
    )


def _version(cursor: Cursor) -> int:
    start = bytes(cursor.data[:24])
    if not start.startswith(MAGIC):
        for magic, problem, hint in _OTHER_FORMATS:
            if start.startswith(magic):
                raise cursor.fail(problem, hint)
        raise cursor.fail("it is not a GGUF file (it does not start with GGUF)", _NO_GGUF)
    cursor.take(4)
    version = cursor.u32()
    if version and version & 0xFFFF == 0:
        raise cursor.fail("it is a big-endian GGUF", "Get the little-endian file.")
    if version not in (2, 3):
        raise cursor.fail(f"GGUF version {version} is not supported (2 and 3 are)")
    return version


def _metadata(
    cursor: Cursor, count: int
) -> tuple[dict[str, MetadataValue], dict[str, ValueType], dict[str, tuple[int, int]]]:
    metadata: dict[str, MetadataValue] = {}
    types: dict[str, ValueType] = {}
    spans: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        start = cursor.pos
        key = _text(cursor, "a metadata key")
        if not key or key in metadata:
            raise cursor.fail(f"metadata key {key!r} occurs twice" if key else "a metadata key is empty")
        types[key] = _value_type(cursor, key)
        metadata[key] = _value(cursor, key, types[key])
        spans[key] = start, cursor.pos
    return metadata, types, spans


def _text(cursor: Cursor, what: str) -> str:
    raw = cursor.string()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise cursor.fail(f"{what} is not UTF-8 text: {raw[:40]!r}", "The file is damaged.") from None


def _value_type(cursor: Cursor, key: str) -> ValueType:
    number = cursor.u32()
    try:
        return ValueType(number)
    except ValueError:
        raise cursor.fail(f"metadata {key!r} has the unknown type {number}", "The file is damaged.") from None


def _value(cursor: Cursor, key: str, kind: ValueType) -> MetadataValue:
    if kind is ValueType.ARRAY:
        return _array(cursor, key)
    if kind is ValueType.STRING:
        return cursor.string().decode("utf-8", "replace")
    return cursor.values(SCALAR_FORMATS[kind], 1)[0]


def _array(cursor: Cursor, key: str) -> MetadataArray:
    kind = _value_type(cursor, key)
    if kind is ValueType.ARRAY:
        raise cursor.fail(f"metadata {key!r} is an array of arrays, which llama.cpp does not read")
    if kind is ValueType.STRING:
        count = cursor.count(8, f"strings in {key!r}")
        start = cursor.pos
        cursor.skip_strings(count)
        return MetadataArray(kind, count, bytes(cursor.data[start : cursor.pos]))
    width = calcsize(f"<{SCALAR_FORMATS[kind]}")
    count = cursor.count(width, f"values in {key!r}")
    return MetadataArray(kind, count, cursor.take(count * width))


def _alignment(cursor: Cursor, metadata: dict[str, MetadataValue], types: dict[str, ValueType]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    kind = types.get("general.alignment", ValueType.UINT32)
    if kind is not ValueType.UINT32 or not isinstance(value, int) or value == 0 or value & (value - 1):
        raise cursor.fail(f"general.alignment must be a power of two stored as UINT32, not {value} as {kind.name}")
    return value


def _tensors(cursor: Cursor, count: int, alignment: int) -> dict[str, TensorInfo]:
    found: dict[str, TensorInfo] = {}
    offset = 0
    for _ in range(count):
        info = _tensor(cursor)
        if info.name in found:
            raise cursor.fail(f"tensor {info.name!r} occurs twice")
        if info.offset != offset:
            raise cursor.fail(f"tensor {info.name!r} starts at offset {info.offset}, expected {offset}")
        offset += -(-info.nbytes // alignment) * alignment
        found[info.name] = info
    return _located(cursor, found, alignment)


def _tensor(cursor: Cursor) -> TensorInfo:
    """One tensor info, its offset still counted from the start of the data section."""
    name = _text(cursor, "a tensor name")
    if not name or len(name.encode()) > MAX_NAME_BYTES:
        raise cursor.fail(f"tensor name {name[:80]!r} is empty or longer than {MAX_NAME_BYTES} bytes")
    n_dims = cursor.u32()
    if not 1 <= n_dims <= MAX_DIMS:
        raise cursor.fail(f"tensor {name!r} has {n_dims} dimensions, 1 to {MAX_DIMS} are possible")
    shape = tuple(int(extent) for extent in cursor.values("Q", n_dims))
    type_id = cursor.u32()
    return TensorInfo(name, shape, type_id, cursor.u64(), _nbytes(cursor, name, shape, type_id))


def _nbytes(cursor: Cursor, name: str, shape: tuple[int, ...], type_id: int) -> int:
    kind = GGML_TYPES.get(type_id)
    if kind is None:
        raise cursor.fail(f"tensor {name!r} has the unknown type {type_id}", "It may need a newer version of edgelora.")
    n_elements = 1
    for extent in shape:
        n_elements *= extent
    if n_elements == 0 or n_elements > MAX_ELEMENTS:
        raise cursor.fail(f"tensor {name!r} has the impossible shape {list(shape)}")
    if shape[0] % kind.block_size:
        raise cursor.fail(f"tensor {name!r}: rows of {shape[0]} values are no whole {kind.name} blocks")
    return n_elements // kind.block_size * kind.type_size


def _located(cursor: Cursor, tensors: dict[str, TensorInfo], alignment: int) -> dict[str, TensorInfo]:
    """The same infos with offsets from the start of the file, checked against its size."""
    data_start = -(-cursor.pos // alignment) * alignment
    size = len(cursor.data)
    located = {}
    for info in tensors.values():
        offset = data_start + info.offset
        if offset + info.nbytes > size:
            raise cursor.fail(
                f"the file is cut off: tensor {info.name!r} ends at byte {offset + info.nbytes}, the file at {size}",
                "Download or copy the file again.",
            )
        located[info.name] = TensorInfo(info.name, info.shape, info.type_id, offset, info.nbytes)
    return located
