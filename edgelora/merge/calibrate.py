"""What the weights of a base meet in a text: statistics of their inputs, for choosing quantized codes.

For the inputs x of a weight over all tokens of the calibration text, either the diagonal of H = sum of x x^T, which is
the sum of x^2, or all of H. The adapter is applied at run time, so the inputs are those that the merged file will see.
It runs in a process of its own, which leaves what it saw in files for the caller to map.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgelora.merge.activations import Watcher
from edgelora.merge.apart import run_apart
from edgelora.merge.forward import AppliedAdapter, Forward, loaded, opened_model
from edgelora.merge.input_statistics import Diagonal, Inputs, Products, require_room
from edgelora.merge.sequences import N_TOKENS, Sample, sample
from edgelora.types import Progress, ReportProgress, ignore_progress

Kind = Literal["diagonal", "full"]

CHUNK = 128
"""Tokens read at a time: as many positions of logits are held."""


def activations(
    base: Path,
    members: Sequence[AppliedAdapter],
    tensors: Collection[str],
    folder: Path,
    *,
    kind: Kind = "diagonal",
    n_tokens: int = N_TOKENS,
    threads: int | None = None,
    report: ReportProgress = ignore_progress,
) -> Mapping[str, NDArray[np.float32]]:
    """Statistics of the inputs of ``tensors`` of ``base`` under ``members``, by name.

    They live in new files in ``folder``, which the caller removes when they are no longer used.
    "diagonal": f32 [n_in], for experts [n_expert, n_in], each expert's own tokens.
    "full": f32 [n_in, n_in], made and written at the first look-up, for which see
    :class:`~edgelora.merge.input_statistics.Products`; before any the files take 4 * n_tokens * n_in bytes for each
    distinct input. Experts are left out.
    Tensors that are no matrices of a product, such as an embedding that is only looked up, are left out.

    Raises EngineError, also where ``folder`` has too little room, AdapterError and EngineDiedError.
    """
    own = Path(tempfile.mkdtemp(prefix="inputs-", dir=folder))
    arguments = (base, tuple(members), frozenset(tensors), own, kind, n_tokens, threads)
    files = run_apart("calibration", _gather, *arguments, report=report)
    if kind == "full":
        return Products(files)
    return {name: np.load(file) for name, file in files.items()}


def _gather(
    base: Path,
    members: Sequence[AppliedAdapter],
    tensors: Collection[str],
    folder: Path,
    kind: Kind,
    n_tokens: int,
    threads: int | None,
    report: ReportProgress,
) -> dict[str, Path]:
    """Returns the file of each tensor; those of one group share theirs."""
    watcher = Watcher(tensors)
    with ExitStack() as stack:
        model = stack.enter_context(opened_model(base, report))
        adapters = stack.enter_context(loaded(model, members))
        forward = Forward(model, CHUNK, threads=threads, adapters=adapters, callback=watcher.callback)
        stack.enter_context(forward)
        read = sample(model, "calibration", n_tokens)
        _read(forward, watcher, read.sequences[0][:CHUNK])  # nobody consumes yet: for the groups alone
        groups = {first: group for first, group in watcher.groups.items() if kind == "diagonal" or not group.n_experts}
        files = {first: folder / f"{number}.npy" for number, first in enumerate(groups)}
        if kind == "full":
            require_room(folder, sum(4 * read.n_tokens * group.n_in for group in groups.values()))
            inputs = {first: Inputs(group, read.n_tokens, files[first]) for first, group in groups.items()}
            watcher.consume = {first: rows.add for first, rows in inputs.items()}
            _read_all(forward, watcher, read, report)
        else:
            sums = {first: Diagonal(group) for first, group in groups.items()}
            watcher.consume = {first: diagonal.add for first, diagonal in sums.items()}
            _read_all(forward, watcher, read, report)
            for first, diagonal in sums.items():
                diagonal.save(files[first])
        return {name: files[first] for first, group in groups.items() for name in group.weights}


def _read_all(forward: Forward, watcher: Watcher, read: Sample, report: ReportProgress) -> None:
    for number, sequence in enumerate(read.sequences):
        report(Progress("calibrating", number * len(sequence), read.n_tokens, "tokens"))
        _read(forward, watcher, sequence)


def _read(forward: Forward, watcher: Watcher, sequence: Sequence[int]) -> None:
    for start in range(0, len(sequence), CHUNK):
        watcher.begin()
        forward.read(sequence[start : start + CHUNK], start)
        watcher.raise_error()
