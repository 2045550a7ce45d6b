"""A source as a file that llama.cpp can read, for as long as a verification takes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgelora.merge.layout import plan_layout
from edgelora.merge.output import scratch
from edgelora.merge.precision import quantized
from edgelora.merge.stream import write_layout
from edgelora.merge.untied import untied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgelora.merge.base import Base
    from edgelora.merge.source_base import SourceModel
    from edgelora.types import ReportProgress

_TYPE = "F16"


@contextmanager
def source_file(
    source: SourceModel, base: Base, out: Path, *, threads: int | None, report: ReportProgress
) -> Iterator[Path]:
    """Where the source is as a GGUF: a folder's is written beside ``out``, and removed when the block ends.

    That is the base with the folder's values of all tensors that the merge needs, in F16. Raises MergeError where there
    is no room, or where values are beyond F16.
    """
    if source.is_gguf:
        yield source.path
        return
    tensors = untied(base).tensors
    rewrites = [quantized(tensor, _TYPE) for name, tensor in source.tensors.items() if tensor is not tensors[name]]
    layout = plan_layout(base, rewrites, {})
    with scratch(out, layout.size) as path:
        write_layout(path, layout, threads=threads, report=report)
        yield path
