"""Who is asked: the interface of everything that answers a load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.bench.load.workload import Job


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer's length, and whether it was made by another adapter than asked for; None where nobody says."""

    tokens: int
    wrong_adapter: bool | None = None


class Target(Protocol):
    """Something that answers requests. Open it before the clock starts."""

    @property
    def name(self) -> str:
        """What it is, for the report."""

    @property
    def n_vocab(self) -> int:
        """Token ids of prompts are below this."""

    async def answer(self, job: Job, heard: Callable[[], None]) -> Answered:
        """Answer ``job``, calling ``heard`` whenever more of the answer arrives. Raises EdgeloraError."""

    async def close(self) -> None:
        """End it."""
