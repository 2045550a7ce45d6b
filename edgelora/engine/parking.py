"""Idle sequences whose cells are needed: saved to memory, and from there to a folder, until their selection returns.

llama.cpp knows neither the selection nor the tokens of what it saves; both are kept here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import llama_cpp

from edgelora import __version__
from edgelora.engine.parked_folder import ParkedFolder
from edgelora.engine.shelf import Parked, Shelf
from edgelora.native.sequences import SavedState
from edgelora.types import BaseInfo, EngineConfig, Selection


@dataclass(slots=True)
class ParkingCounts:
    """Sequences since the engine was opened. ``lost`` were pushed out, or could not be read back."""

    parked: int = 0
    restored: int = 0
    lost: int = 0


class Parking:
    """``budget`` bytes of memory, and perhaps a ``folder`` for what they have no room for."""

    def __init__(self, budget: int, folder: ParkedFolder | None = None) -> None:
        self._shelf = Shelf(budget)
        self._folder = folder
        self.counts = ParkingCounts()

    @property
    def n_bytes(self) -> int:
        """Bytes of memory taken."""
        return self._shelf.n_bytes

    @property
    def n_bytes_on_disk(self) -> int:
        """Bytes of the folder taken."""
        return self._folder.n_bytes if self._folder else 0

    def park(self, under: Selection, tokens: list[int], size: int, save: Callable[[], SavedState | None]) -> None:
        """Keep what ``save`` gives, of ``size`` bytes, unless there is no room for it or it is there already."""
        if (size > self._shelf.budget and not self._folder) or self._covers(under, tokens):
            return
        state = save()
        if state is None:
            return
        self.counts.parked += 1
        entry = Parked(under, list(tokens), state.shortest, state.data.nbytes, lambda: state)
        for covered in self._shelf.covered_by(entry):
            self._shelf.remove(covered)
        for old in self._shelf.add(entry):
            self._spill(old)

    def best(self, under: Selection, wanted: list[int], most: int) -> tuple[Parked | None, int]:
        """The parked sequence of at most ``most`` tokens that saves most of the computing of ``wanted``; how much."""
        in_memory = self._shelf.best(under, wanted, most)
        in_folder = self._folder.best(under, wanted, most) if self._folder else (None, 0)
        return max(in_memory, in_folder, key=lambda found: found[1])

    def take(self, entry: Parked, *, keep: bool) -> SavedState | None:
        """What was saved; None where it is lost. Memory lets go of it unless it shall ``keep`` it; the folder never."""
        state = entry.load()
        if entry in self._shelf:
            self._shelf.touch(entry)
            if not keep:
                self._shelf.remove(entry)
        elif self._folder:
            self._folder.touch(entry)
            if state is None:
                self._folder.remove(entry)
        return state

    def clear(self) -> None:
        """Forget everything, on disk too."""
        self._shelf = Shelf(self._shelf.budget)
        if self._folder:
            self._folder.clear()

    def close(self) -> None:
        """Wait for what is being written."""
        if self._folder:
            self._folder.close()

    def _covers(self, under: Selection, tokens: list[int]) -> bool:
        return self._shelf.covers(under, tokens) or bool(self._folder and self._folder.covers(under, tokens))

    def _spill(self, entry: Parked) -> None:
        state = entry.load()
        kept = (
            state is not None
            and isinstance(entry.under, Selection)
            and self._folder is not None
            and self._folder.put(entry.under, entry.tokens, state)
        )
        self.counts.lost += not kept


def open_parking(config: EngineConfig, base: BaseInfo, budget: int) -> Parking:
    """The parking of an engine on ``base``. Engines whose numbers differ may share a folder: each knows its own."""
    made_by = (
        __version__,
        llama_cpp.__version__,
        config.kv_dtype,
        config.pool_dtype,
        config.flash_attention,
        base.mode,
    )
    owner = hashlib.sha256("\0".join((base.fingerprint, *made_by)).encode()).hexdigest()
    return Parking(budget, ParkedFolder(config.parked_folder, owner) if config.parked_folder else None)
