"""The streamed writer with adapters and one type for all that they touch; also what a process of its own runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelora.gguf.data import tensor_data
from edgelora.gguf.reader import read_header
from edgelora.merge.base import Base, read_base
from edgelora.merge.layout import Layout, Rewrite, plan_layout
from edgelora.merge.members import member_changes
from edgelora.merge.options import MergeMember
from edgelora.merge.output import replacing
from edgelora.merge.stream import write_layout
from edgelora.native.quantize import quantize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgelora.merge.layout import RowEncoder


def rounded(kind: str) -> RowEncoder:
    """Rounding by ggml."""
    return lambda first, values, old: quantize(kind, values)


def rewrites(base: Base, adapters: Mapping[Path, float], kind: str | None = None) -> list[Rewrite]:
    """Every tensor that ``adapters`` (with scales) touch, in ``kind`` or in its own type."""
    changes = member_changes(base, [MergeMember(path, scale) for path, scale in adapters.items()]).changes
    found = []
    for name, change in changes.items():
        stored = kind or base.tensors[name].type_name
        found.append(Rewrite(base.tensors[name], stored, change, rounded(stored)))
    return found


def plan(base: Path, adapters: Mapping[Path, float], kind: str | None = None, **metadata: Any) -> Layout:
    opened = read_base(base)
    entries = {key.replace("__", "."): value for key, value in metadata.items()}
    return plan_layout(opened, rewrites(opened, adapters, kind), entries)


def merge(base: Path, adapters: Mapping[Path, float], out: Path, kind: str | None = None, **options: Any) -> Path:
    """Merge and give ``out`` back."""
    return write(plan(base, adapters, kind), out, **options)


def write(layout: Layout, out: Path, **options: Any) -> Path:
    with replacing(out, layout.size) as temporary:
        write_layout(temporary, layout, **options)
    return out


def tensors_of(path: Path) -> dict[str, bytes]:
    """The bytes of every tensor."""
    return {name: tensor.rows(0, tensor.n_rows).tobytes() for name, tensor in read_base(path).tensors.items()}


def values_of(path: Path, name: str) -> np.ndarray:
    """The values of a tensor, f64."""
    header = read_header(path)
    return tensor_data(header, header.tensors[name]).astype(np.float64)


if __name__ == "__main__":  # BASE ADAPTER OUT: merge again and again, saying so each time
    base_, adapter_, out_ = map(Path, sys.argv[1:4])
    while True:
        print("merging", flush=True)
        merge(base_, {adapter_: 1.0}, out_, "F16", threads=2)
