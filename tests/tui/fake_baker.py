"""Bakes nothing, as slowly as a test wants."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.merge.baked import BakedBase
from edgelora.merge.trade import Trade
from edgelora.types import AttestedAdapter, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgelora.errors import EdgeloraError
    from edgelora.merge.options import MergeMember
    from edgelora.types import ReportProgress

BAKED = Path("/cache/baked.gguf")


@dataclass
class FakeBaker:
    """Bakes as ChatSetup.bake does. ``oven`` holds it back while it is closed; it reports all the time."""

    error: EdgeloraError | None = None
    baked: list[list[tuple[str, float]]] = field(default_factory=list)
    ended: int = 0

    def __post_init__(self) -> None:
        self.oven = threading.Event()
        self.oven.set()

    def __call__(
        self, base: Path, members: Sequence[MergeMember], report: ReportProgress, announce: Callable[[Trade], None]
    ) -> BakedBase:
        self.baked.append([(member.name, member.scale) for member in members])
        try:
            announce(Trade(5_600_000, 300_000, 8_800_000, 0.9, 0.6, 0.999))
            report(Progress("writing", 1, 4, "bytes"))
            while not self.oven.wait(0.01):
                report(Progress("writing", 1, 4, "bytes"))
            if self.error:
                raise self.error
        finally:
            self.ended += 1
        adapters = tuple(AttestedAdapter(member.name, "a" * 64, member.scale) for member in members)
        made = datetime(2026, 1, 1, tzinfo=UTC)
        return BakedBase(BAKED, base.name, adapters, "auto", 0.9991, 5_600_000, 5_800_000, "merged", made)
