"""Split models: one GGUF in several files, found by their names and read as one header.

The first part holds all metadata (tools/gguf-split/gguf-split.cpp in llama.cpp).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from edgelora.errors import GGUFError
from edgelora.gguf.reader import read_part

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from pathlib import Path

    from edgelora.gguf.header import Header, TensorInfo

SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")
"""What numbers the parts."""

_PART_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def read_parts(path: str | PathLike[str]) -> tuple[Header, ...]:
    """The headers of all parts of the model at ``path``, which is any of them, in order; of a whole file its own.

    Raises GGUFError where a file is no readable GGUF, and where a part is missing or belongs to another model.
    """
    given = read_part(path)
    count = _number(given, "split.count", 1)
    if count <= 1:
        return (given,)
    parts = tuple(map(read_part, _part_paths(given.path, _number(given, "split.no", 0), count)))
    for number, part in enumerate(parts):
        _require_part(part, number, count)
    return parts


def read_joined(path: str | PathLike[str]) -> Header:
    """The header of the model at ``path``, be it in one file or in several; then any of them will do.

    Raises GGUFError as :func:`read_parts` and :func:`joined` do.
    """
    return joined(read_parts(path))


def joined(parts: Sequence[Header]) -> Header:
    """One header for all ``parts``: the first one's, with all tensors, as if the parts were one file.

    Raises GGUFError where the parts are not of one model.
    """
    if len(parts) == 1:
        return parts[0]
    infos: dict[str, TensorInfo] = {}
    start = 0
    for part in parts:
        for name, info in part.tensors.items():
            if name in infos:
                first = next(part.path.name for part in parts if name in part.tensors)
                raise GGUFError(f"{part.path}: {name} is in {first} too", _FOREIGN)
            infos[name] = replace(info, offset=start + info.offset)
        start += part.file_size
    announced = _number(parts[0], "split.tensors.count", len(infos))
    if announced != len(infos):
        raise GGUFError(f"{parts[0].path}: its parts hold {len(infos)} tensors, {announced} are announced", _FOREIGN)
    files = tuple((part.path, part.file_size) for part in parts)
    return replace(parts[0], tensors=infos, file_size=start, parts=files)


def stem_of(path: Path) -> str:
    """What a model's file is called, without its ending and without what numbers it as a part."""
    name = _PART_NAME.fullmatch(path.name)
    return name["prefix"] if name else path.stem


_FOREIGN = "The parts are not of one model; download all of them again."


def _part_paths(path: Path, number: int, count: int) -> list[Path]:
    """Where the parts lie, by the names that llama.cpp looks for (llama_split_path in src/llama.cpp)."""
    name = _PART_NAME.fullmatch(path.name)
    if name is None or (int(name["number"]), int(name["count"])) != (number + 1, count):
        raise GGUFError(
            f"{path}: it is part {number + 1} of {count} of a split model, but its name does not say so",
            f"Give it back its name, which ends in -{number + 1:05d}-of-{count:05d}.gguf.",
        )
    paths = [path.with_name(f"{name['prefix']}-{part:05d}-of-{count:05d}.gguf") for part in range(1, count + 1)]
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise GGUFError(f"{path}: parts of this split model are missing: {listed}", "Put all parts into one folder.")
    return paths


def _require_part(part: Header, number: int, count: int) -> None:
    found = _number(part, "split.no", 0), _number(part, "split.count", 1)
    if found != (number, count):
        raise GGUFError(
            f"{part.path}: it says that it is part {found[0] + 1} of {found[1]}, expected {number + 1} of {count}",
            _FOREIGN,
        )


def _number(header: Header, key: str, default: int) -> int:
    """A whole number, as which the keys of a split are stored in several widths; ``count`` is at most 65535."""
    value = header.get(key, default)
    if not 0 <= value <= 0xFFFF and key != "split.tensors.count":
        raise GGUFError(f"{header.path}: {key} cannot be {value}", "The file is damaged.")
    return value
