"""Training in processes of one thread each, a share of the rows to every process.

The matrices of so small a model do not keep two threads busy, and threads that share a product wait for one another;
processes meet once a step.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PATIENCE = timedelta(minutes=10)  # a laptop may be put to sleep in the middle of a step


def run_workers(count: int, work: Callable[..., None], *arguments: object) -> None:
    """Run `work(rank, *arguments)` in `count` processes that can reach one another; an error in one ends all."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_join, (count, Path(folder) / "store", work, arguments), nprocs=count)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes."""
    gradients = [value.grad for value in parameters if value.grad is not None]
    flat = torch.cat([gradient.view(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    _scatter(flat, gradients)


def share(parameters: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    """Return the parameters that this process updates for all."""
    return parameters[dist.get_rank() :: dist.get_world_size()]


@torch.no_grad()
def exchange(parameters: list[torch.nn.Parameter]) -> None:
    """Give every process the values of those parameters that others updated (see `share`)."""
    count = dist.get_world_size()
    for owner in range(count):
        owned = parameters[owner::count]
        flat = torch.cat([value.view(-1) for value in owned])
        dist.broadcast(flat, src=owner)
        _scatter(flat, owned)


def _scatter(flat: torch.Tensor, targets: Iterable[torch.Tensor]) -> None:
    start = 0
    for target in targets:
        target.copy_(flat[start : start + target.numel()].view_as(target))
        start += target.numel()


def _join(rank: int, count: int, store: Path, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count, timeout=PATIENCE)
    try:
        work(rank, *arguments)
    finally:
        dist.destroy_process_group()
