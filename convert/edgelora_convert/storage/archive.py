"""Where the members of a zip archive lie in its file. Only members that are stored as they are can be pointed at."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora_convert.storage.stored import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_DIRECTORY_BYTES = 16 * 1024 * 1024
"""Of the archive's table of contents: some 200,000 members."""

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then the lengths of the name and of the extra field
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1


@dataclass(frozen=True)
class Member:
    """A part of an archive: ``size`` bytes of its file from ``start`` on."""

    start: int
    size: int


class _CappedFile(io.FileIO):
    """A file of which zipfile cannot read more at once than a sound table of contents needs."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile("its table of contents is too large")
        return super().read(-1 if size is None else size) or b""


def archive_members(path: Path, size: int) -> Mapping[str, Member]:
    """The members of the archive at ``path``, a file of ``size`` bytes, by name.

    Raises UnreadableFileError for damaged, compressed and encrypted ones.
    """
    try:
        with _CappedFile(path, "rb") as file, zipfile.ZipFile(file) as archive:
            return {info.filename: _member(file, info, size) for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise UnreadableFileError(f"it is damaged or incomplete ({error}); download or copy it again") from None


def _member(file: io.FileIO, info: zipfile.ZipInfo, size: int) -> Member:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
        raise UnreadableFileError(f"its part {info.filename} is compressed or encrypted, which torch.save does not do")
    file.seek(info.header_offset)
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    start = info.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    if signature != _SIGNATURE or start + info.file_size > size:
        raise zipfile.BadZipFile(f"its part {info.filename} is not where it should be")
    return Member(start, info.file_size)
