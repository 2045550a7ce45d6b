"""A file that torch.save wrote since PyTorch 1.6, such as adapter_model.bin, read without torch and without pickle.

It is a zip archive: ``NAME/data.pkl`` describes a dictionary of tensors, ``NAME/data/KEY`` are the bytes of the
storages they are views of, ``NAME/byteorder`` their byte order. What the names in the pickle mean is taken from
torch/_utils.py (_rebuild_tensor_v2, _rebuild_parameter), torch/serialization.py (persistent_id) and
torch/storage.py (_dtype_to_storage_type_map).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora_convert.storage.archive import Member, archive_members
from edgelora_convert.storage.pickle_machine import Name, RefusedPickleError, read_pickle
from edgelora_convert.storage.stored import MAX_DIMS, StoredTensor, UnreadableFileError, span

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_PICKLE_BYTES = 32 * 1024 * 1024
_ADVICE = "load it where you trust it, and save the adapter again as safetensors"
_STORAGES = {
    "torch.DoubleStorage": ("F64", 8),
    "torch.FloatStorage": ("F32", 4),
    "torch.HalfStorage": ("F16", 2),
    "torch.BFloat16Storage": ("BF16", 2),
    "torch.LongStorage": ("I64", 8),
    "torch.IntStorage": ("I32", 4),
    "torch.ShortStorage": ("I16", 2),
    "torch.CharStorage": ("I8", 1),
    "torch.ByteStorage": ("U8", 1),
    "torch.BoolStorage": ("BOOL", 1),
}
"""Classes of storages: the type of their values as safetensors calls it, and its bytes."""


@dataclass(frozen=True)
class _Storage:
    dtype: str
    itemsize: int
    start: int
    n_elements: int


@dataclass(frozen=True)
class _View:
    """A tensor: ``shape`` elements of a storage from ``offset`` on, ``strides`` apart."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def named(self, path: Path, name: str) -> StoredTensor:
        start = self.storage.start + self.offset * self.storage.itemsize
        strides = None if self.strides == _gapless(self.shape) else self.strides
        return StoredTensor(path, name, self.storage.dtype, self.shape, start, strides)


def torch_tensors_in(path: Path, size: int) -> dict[str, StoredTensor]:
    """The tensors of a file of ``size`` bytes, by name. Raises UnreadableFileError for what is no plain dictionary."""
    members = archive_members(path, size)
    folder = _folder(members)
    if _bytes(path, members.get(f"{folder}byteorder", Member(0, 0))) not in (b"", b"little"):
        raise UnreadableFileError(f"it was saved on a big-endian machine; {_ADVICE}")
    try:
        content = read_pickle(_bytes(path, members[f"{folder}data.pkl"]), _TorchNames(members, f"{folder}data/"))
        return _named(path, content)
    except RefusedPickleError as error:
        raise UnreadableFileError(f"it is a pickle that is not read here, because {error}; {_ADVICE}") from None


def _folder(members: Mapping[str, Member]) -> str:
    """torch reads the archive whose one top folder holds data.pkl."""
    found = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(found) != 1:
        raise UnreadableFileError(f"it is a zip archive, but torch.save did not write it; {_ADVICE}")
    return found[0]


def _bytes(path: Path, member: Member) -> bytes:
    if member.size > MAX_PICKLE_BYTES:
        raise UnreadableFileError(f"it describes its tensors in {member.size} bytes, which is too much for an adapter")
    with path.open("rb") as file:
        file.seek(member.start)
        return file.read(member.size)


def _named(path: Path, content: object) -> dict[str, StoredTensor]:
    if not isinstance(content, dict):
        raise RefusedPickleError("it holds no dictionary of tensors")
    others = [name for name, value in content.items() if not isinstance(value, _View)]
    if others:
        raise RefusedPickleError(f"its entry {others[0]} is no tensor")
    return {name: view.named(path, name) for name, view in content.items()}


class _TorchNames:
    """What the names that torch.save writes stand for."""

    def __init__(self, members: Mapping[str, Member], prefix: str) -> None:
        self._members = members
        self._prefix = prefix

    def applied(self, name: str, arguments: tuple[object, ...]) -> object:
        """A dictionary or a tensor."""
        match name, arguments:
            case "collections.OrderedDict", ():
                return {}
            case "torch._utils._rebuild_tensor_v2", (
                _Storage() as storage,
                int(offset),
                tuple(shape),
                tuple(strides),
                *_,
            ):
                return _view(storage, offset, shape, strides)
            case "torch._utils._rebuild_parameter", (_View() as view, *_):
                return view
        raise RefusedPickleError(f"it calls {name}")

    def stored(self, reference: object) -> _Storage:
        """The storage that a tensor is a view of."""
        match reference:
            case ("storage", Name(text=name), str(key), str(), int(n_elements)) if name in _STORAGES:
                dtype, itemsize = _STORAGES[name]
            case ("storage", Name(text=name), *_):
                raise RefusedPickleError(f"it holds values of the type {name}")
            case _:
                raise RefusedPickleError("it refers to something that is no storage")
        member = self._members.get(f"{self._prefix}{key}")
        if member is None or not 0 <= n_elements * itemsize <= member.size:
            raise RefusedPickleError("it is damaged: the bytes of a tensor are missing")
        return _Storage(dtype, itemsize, member.start, n_elements)


def _view(storage: _Storage, offset: int, shape: tuple[object, ...], strides: tuple[object, ...]) -> _View:
    extents, steps = _sizes(shape), _sizes(strides)
    if len(extents) != len(steps) or offset < 0 or offset + span(extents, steps) > storage.n_elements:
        raise RefusedPickleError("it is damaged: a tensor is larger than its bytes")
    if math.prod(extents) > storage.n_elements:  # as expand() makes them: the same element many times
        raise RefusedPickleError("it holds a tensor whose elements lie over each other")
    return _View(storage, offset, extents, steps)


def _sizes(values: tuple[object, ...]) -> tuple[int, ...]:
    sizes = tuple(value for value in values if type(value) is int and 0 <= value < 2**63)
    if len(sizes) != len(values) or len(sizes) > MAX_DIMS:
        raise RefusedPickleError("it is damaged: a tensor has an impossible shape")
    return sizes


def _gapless(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
