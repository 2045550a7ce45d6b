"""The tensors of an adapter by module, and the questions that every type asks of them."""

from __future__ import annotations

from collections.abc import Mapping

from edgelora_convert.storage.stored import StoredTensor
from edgelora_convert.update import UnusableError

Parts = Mapping[str, StoredTensor]
"""The parameters of one module, by name."""


def required(parts: Parts, name: str, dims: int) -> StoredTensor:
    """A parameter with values that can be read, of so many dimensions. Raises UnusableError."""
    tensor = parts.get(name)
    if tensor is None:
        raise UnusableError(f"its {name} is missing")
    if not tensor.is_float:
        raise UnusableError(f"its values are {tensor.dtype}; F32, F16, BF16 or F64 can be converted")
    if len(tensor.shape) != dims:
        kind = "matrix" if dims == 2 else "vector"
        raise UnusableError(f"its {name} {list(tensor.shape)} must be a {kind}")
    return tensor


def matrix(parts: Parts, name: str) -> StoredTensor:
    """A parameter that is a matrix and not empty."""
    found = required(parts, name, 2)
    if 0 in found.shape:
        raise UnusableError(f"its {name} {list(found.shape)} is empty")
    return found


def factors(parts: Parts, a: str, b: str) -> tuple[StoredTensor, StoredTensor]:
    """A [rank, n_in] and B [n_out, rank]."""
    found_a, found_b = matrix(parts, a), matrix(parts, b)
    if found_a.shape[0] != found_b.shape[1]:
        name_a, name_b = a.removeprefix("lora_"), b.removeprefix("lora_")
        raise UnusableError(f"{name_a} has rank {found_a.shape[0]}, {name_b} rank {found_b.shape[1]}")
    return found_a, found_b
