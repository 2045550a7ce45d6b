"""The bases that can be chosen, with what they need of the memory, and the way to another one."""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgelora.config import locations
from edgelora.config.known_bases import DEMO
from edgelora.errors import EdgeloraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgelora.tui.conductor import Conductor
    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.stage import Stage
    from edgelora.tui.state import ChatState
    from edgelora.types import EngineConfig

EMPTY: Mapping[str, Path] = MappingProxyType({})
_LATER_PART = re.compile(r"-(?!00001-)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class BaseChoice:
    """A base on disk. ``needs`` is the memory it would take in bytes, ``problem`` why it cannot be opened.

    ``name`` is what its file says, ``alias`` what it is called on this machine.
    """

    path: Path
    name: str
    facts: str = ""
    n_bytes: int = 0
    needs: int = 0
    problem: str = ""
    alias: str = ""


def list_bases(
    config: EngineConfig, folder: Path | None, recent: Iterable[str], named: Mapping[str, Path] = EMPTY
) -> list[BaseChoice]:
    """That of ``config``, the ``named``, those used before and those in ``folder``, the demo's; what fits comes first.

    Reads the header of each, so it is nothing for an event loop.
    """
    aliases = {path.resolve(): name for name, path in reversed([*named.items(), (DEMO, locations.demo_base())])}
    in_folder = sorted(folder.glob("*.gguf")) if folder else ()
    given = [config.base, *named.values(), *map(Path, recent), *in_folder, locations.demo_base()]
    openable = [path for path in given if os.path.isfile(path) and not _LATER_PART.search(path.name)]
    there = dict.fromkeys(path.resolve() for path in openable)
    found = [choice for path in there if (choice := _choice(path, config))]
    choices = [replace(choice, alias=aliases.get(choice.path, "")) for choice in found]
    return sorted(choices, key=lambda choice: bool(choice.problem))


def _choice(path: Path, config: EngineConfig) -> BaseChoice | None:
    """None for a GGUF that is no base, such as an adapter."""
    from edgelora.engine.memory import plan_memory
    from edgelora.gguf.facts import BaseFacts
    from edgelora.gguf.split import read_joined

    n_bytes = path.stat().st_size
    try:
        header = read_joined(path)
        if header.metadata.get("general.type", "model") != "model":
            return None
        facts = BaseFacts.of(header)
    except EdgeloraError as error:
        return BaseChoice(path, path.stem, n_bytes=n_bytes, problem=error.message)
    choice = BaseChoice(path, facts.name, f"{facts.arch} · {facts.quantization}", facts.file_size)
    try:
        plan = plan_memory(facts, replace(config, base=path))
    except EdgeloraError as error:
        return replace(choice, problem=error.message)
    return replace(choice, needs=plan.weights + plan.kv + plan.scratch)


class Bases:
    """Lists bases and changes to one. Methods may be called at any time, each in a task of its own."""

    def __init__(self, setup: ChatSetup, state: ChatState, stage: Stage, conductor: Conductor) -> None:
        self._setup = setup
        self._state = state
        self._stage = stage
        self._conductor = conductor

    async def choices(self) -> list[BaseChoice]:
        """What can be chosen now, and what cannot, with the reason."""
        return await asyncio.to_thread(self._setup.list_bases, tuple(self._state.remembered.bases))

    async def change(self, base: Path) -> None:
        """Go on with ``base``; the conversation stays, and so do the chosen adapters as far as they fit."""
        library, former = self._conductor.adapters.library, self._conductor.home
        if library is None or base == former:
            return
        try:
            other = await asyncio.to_thread(library.for_base, base)
            usable = {entry.name for entry in await asyncio.to_thread(other.refresh) if entry.usable}
        except EdgeloraError as error:
            await self._stage.say("error", f"{error}\nNothing has changed.")
            return
        pick = tuple(member for member in self._state.active if member.ref in usable)
        left = [member.ref for member in self._state.active if member.ref not in usable]
        await self._conductor.change_base(base, pick, baked=False, library=other)
        if self._conductor.home != base:
            return  # it could not be opened, which was said
        for path in (former, base):
            self._state.remembered.note_base(path)
        if left:
            await self._stage.say("information", f"Not used on this base: {', '.join(left)}. The picker says why.")
