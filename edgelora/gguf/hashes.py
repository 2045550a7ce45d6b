"""Content identities: of an adapter, the SHA-256 of its file; of a base, a fingerprint that need not read all of it."""

from __future__ import annotations

import hashlib
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from edgelora.errors import GGUFError
from edgelora.gguf.ggml_types import ValueType
from edgelora.gguf.header import MetadataArray
from edgelora.gguf.split import read_joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from edgelora.gguf.header import Header, MetadataValue

EDGE_BYTES = 64 * 1024
"""How much of each tensor's beginning and of its end goes into a fingerprint."""

_IDENTIFYING = frozenset({"general.architecture", "general.type"})


def file_sha256(path: str | PathLike[str]) -> str:
    """SHA-256 of the whole file, in hexadecimal. Raises GGUFError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise GGUFError(f"{path}: cannot be read ({error.strerror})") from None


def fingerprint(path: str | PathLike[str]) -> str:
    """Fingerprint of the base model at ``path``, also a split one. Raises GGUFError where it is no readable GGUF."""
    return fingerprint_of(read_joined(path))


def fingerprint_of(header: Header) -> str:
    """Fingerprint of a base model, in hexadecimal.

    SHA-256 over file size, tensor infos, metadata without free text (names, descriptions, chat templates), and the
    first and last 64 KiB of every tensor. Raises GGUFError where the file cannot be read.
    """
    digest = hashlib.sha256(f"{header.file_size}\n".encode())
    for line in _described(header):
        digest.update(line)
    places = ((*header.place_of(info), info.nbytes) for info in header.tensors.values())
    for path, tensors in groupby(places, key=itemgetter(0)):
        try:
            with path.open("rb") as file:
                for _, offset, nbytes in tensors:
                    for start, end in _edges(offset, nbytes):
                        file.seek(start)
                        digest.update(file.read(end - start))
        except OSError as error:
            raise GGUFError(f"{path}: cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def _described(header: Header) -> Iterator[bytes]:
    for key, value in sorted(header.metadata.items()):
        if not _is_free_text(key, value):
            yield f"{key}\0{header.value_types[key].name}\0".encode()
            yield value.raw if isinstance(value, MetadataArray) else repr(value).encode()
    for info in header.tensors.values():
        yield f"{info.name}\0{info.shape}\0{info.type_id}\0{info.offset}\n".encode()


def _is_free_text(key: str, value: MetadataValue) -> bool:
    if key in _IDENTIFYING:
        return False
    return key.startswith("tokenizer.chat_template") or (key.startswith("general.") and _is_text(value))


def _is_text(value: MetadataValue) -> bool:
    return isinstance(value, str) or (isinstance(value, MetadataArray) and value.element_type is ValueType.STRING)


def _edges(offset: int, nbytes: int) -> Iterator[tuple[int, int]]:
    end = offset + nbytes
    if nbytes <= 2 * EDGE_BYTES:
        yield offset, end
    else:
        yield offset, offset + EDGE_BYTES
        yield end - EDGE_BYTES, end
