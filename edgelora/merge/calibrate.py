"""What the weights of a base meet in a text: statistics of their inputs, for choosing quantized codes.

For the inputs x of a weight over all tokens of the calibration text, either the diagonal of H = sum of x x^T, which is
the sum of x^2, or all of H. The adapter is applied at run time, so the inputs are those that the merged file will see.
It runs in a process of its own, which leaves the results in files for the caller to map.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgelora.errors import MemoryLimitError
from edgelora.merge.activations import Group, Watcher
from edgelora.merge.apart import run_apart
from edgelora.merge.forward import AppliedAdapter, Forward, loaded, opened_model
from edgelora.merge.input_statistics import Diagonal, Full
from edgelora.merge.sequences import N_TOKENS, Sample, sample
from edgelora.types import Progress, ReportProgress, ignore_progress

Kind = Literal["diagonal", "full"]

CHUNK = 128
"""Tokens read at a time: as many positions of logits are held."""

BUDGET = 2**30
"""Bytes for inputs and products that are held at the same time, where nothing else is asked for."""


def activations(
    base: Path,
    members: Sequence[AppliedAdapter],
    tensors: Collection[str],
    folder: Path,
    *,
    kind: Kind = "diagonal",
    n_tokens: int = N_TOKENS,
    budget: int = BUDGET,
    threads: int | None = None,
    report: ReportProgress = ignore_progress,
) -> dict[str, NDArray[np.float32]]:
    """Statistics of the inputs of ``tensors`` of ``base`` under ``members``, mapped from new files in ``folder``.

    Remove the folder when they are no longer used.

    "diagonal": f32 [n_in], for experts [n_expert, n_in], each expert's own tokens. "full": f32 [n_in, n_in]; tensors
    with the same input share one array, experts are left out, and the text is read several times where ``budget``
    demands it. Tensors that are no matrices of a product, such as an embedding that is only looked up, are left out.

    Raises EngineError, AdapterError, EngineDiedError, and MemoryLimitError where ``budget``, in bytes, is too little
    for one input.
    """
    own = Path(tempfile.mkdtemp(prefix="inputs-", dir=folder))
    arguments = (base, tuple(members), frozenset(tensors), own, kind, n_tokens, budget, threads)
    files = run_apart("calibration", _gather, *arguments, report=report)
    return {name: np.load(file, mmap_mode="r") for file, names in files.items() for name in names}


def _gather(
    base: Path,
    members: Sequence[AppliedAdapter],
    tensors: Collection[str],
    folder: Path,
    kind: Kind,
    n_tokens: int,
    budget: int,
    threads: int | None,
    report: ReportProgress,
) -> dict[Path, list[str]]:
    """Returns which tensors each file is for."""
    watcher = Watcher(tensors)
    with ExitStack() as stack:
        model = stack.enter_context(opened_model(base, report))
        adapters = stack.enter_context(loaded(model, members))
        forward = Forward(model, CHUNK, threads=threads, adapters=adapters, callback=watcher.callback)
        stack.enter_context(forward)
        read = sample(model, "calibration", n_tokens)
        _read(forward, watcher, read.sequences[0][:CHUNK])  # nobody consumes yet: for the groups alone
        planned = _planned(watcher.groups, kind, read.n_tokens, budget)
        done = (result for firsts in planned for result in _reading(firsts, kind, forward, watcher, read, report))
        return _saved(done, watcher.groups, folder)


def _planned(groups: Mapping[str, Group], kind: Kind, n_tokens: int, budget: int) -> list[list[str]]:
    """The groups that are gathered in each reading of the text. With "full" the inputs of a reading are held to its
    end, and then one product at a time is made."""
    if kind == "diagonal":
        return [list(groups)]
    held = {first: 4 * n_tokens * group.n_in for first, group in groups.items() if not group.n_experts}
    room = budget - max((4 * groups[first].n_in ** 2 for first in held), default=0)
    readings: list[list[str]] = []
    left = -1
    for first, size in held.items():
        if size > room:
            raise MemoryLimitError(
                f"the inputs of {first}, {groups[first].n_in} values for each of {n_tokens} tokens, and the largest "
                f"product of inputs do not fit into {budget // 2**20} MiB",
                "Use their sums of squares, or fewer tokens.",
            )
        if size > left:
            readings.append([])
            left = room
        readings[-1].append(first)
        left -= size
    return readings


def _reading(
    firsts: Sequence[str], kind: Kind, forward: Forward, watcher: Watcher, read: Sample, report: ReportProgress
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Read the text once and give the results, by the first weight of each group."""
    statistics: dict[str, Diagonal | Full] = {
        first: Diagonal(watcher.groups[first]) if kind == "diagonal" else Full() for first in firsts
    }
    watcher.consume = {first: statistic.add for first, statistic in statistics.items()}
    for number, sequence in enumerate(read.sequences):
        report(Progress("reading for calibration", number, len(read.sequences), "sequences"))
        _read(forward, watcher, sequence)
    watcher.consume = {}
    for first in firsts:
        yield first, statistics.pop(first).result()


def _read(forward: Forward, watcher: Watcher, sequence: Sequence[int]) -> None:
    for start in range(0, len(sequence), CHUNK):
        watcher.begin()
        forward.read(sequence[start : start + CHUNK], start)
        watcher.raise_error()


def _saved(
    results: Iterable[tuple[str, NDArray[np.float32]]], groups: Mapping[str, Group], folder: Path
) -> dict[Path, list[str]]:
    files: dict[Path, list[str]] = {}
    for number, (first, values) in enumerate(results):
        file = folder / f"{number}.npy"
        np.save(file, values)
        files[file] = groups[first].weights
    return files
