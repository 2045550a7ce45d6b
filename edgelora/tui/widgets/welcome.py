"""The first screen: what is loaded, what to try, and how to bring one's own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from edgelora.tui.theme import QUIET
from edgelora.tui.widgets.title_bar import base_facts

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgelora.adapters.entry import AdapterEntry
    from edgelora.tui.state import ChatState

DEMO = "A tiny demo, made to show the swap: it knows little."
OWN = "Your own base and LoRA adapters (GGUF, PEFT or MLX):"
MAX_EXAMPLES = 9


class Example(Static):
    """One prompt to try under one adapter; a click chooses it."""

    @dataclass
    class Chosen(Message):
        """This example should be asked."""

        adapter: str
        prompt: str

    def __init__(self, number: int, entry: AdapterEntry, tint: int | None, name_cells: int) -> None:
        self.adapter = entry.name
        self.prompt = entry.example_prompt or ""
        name = f"{entry.name:<{name_cells}}"
        text = Content.assemble((f"{number}", "bold $accent"), "  ", (name, "bold"), "  ", (self.prompt, QUIET))
        super().__init__(text, markup=False, classes="" if tint is None else f"-tint-{tint}")

    def on_click(self) -> None:
        """Choose it."""
        self.choose()

    def choose(self) -> None:
        """Tell the app."""
        self.post_message(self.Chosen(self.adapter, self.prompt))


class Welcome(Vertical):
    """Shown until the first message."""

    def __init__(self, state: ChatState, *, is_demo: bool) -> None:
        super().__init__(id="welcome")
        self._state = state
        self._is_demo = is_demo

    def compose(self) -> ComposeResult:
        """Filled by :meth:`show`."""
        yield Static("One base model, many LoRA adapters: swap them while you chat.", classes="lead")
        yield Static(id="facts", markup=False)
        yield Static("Try one: press its number, then Enter.", id="try", markup=False)
        yield Vertical(id="examples")
        yield Static(id="swap", markup=False)
        yield Static(id="own", markup=False)
        yield Static(id="earlier", classes="quiet", markup=False)

    async def on_mount(self) -> None:
        """Fill it."""
        await self._fill()

    async def show(self) -> None:
        """Show the state anew. Before it is mounted there is nothing to fill, and afterwards it fills itself."""
        if self.is_mounted:
            await self._fill()

    async def _fill(self) -> None:
        self.query_one("#facts", Static).update(self._facts())
        self.query_one("#own", Static).update(self._own())
        earlier = self.query_one("#earlier", Static)
        earlier.display = bool(self._state.earlier)
        key = self._state.key("conversations")
        earlier.update(f"{key} goes on with an earlier conversation: {self._state.earlier}")
        box = self.query_one("#examples", Vertical)
        entries = self.example_entries()
        self.query("#try, #examples, #swap").set_class(not entries, "-none")
        swap = f"Then swap: {self._state.key('adapters')} picks another adapter, and the conversation goes on."
        self.query_one("#swap", Static).update(swap)
        shown = [example.adapter for example in box.query(Example)]
        if shown != [entry.name for entry in entries]:
            await box.remove_children()
            name_cells = max((len(entry.name) for entry in entries), default=0)
            await box.mount_all(
                Example(number, entry, self._state.tint([entry.name]), name_cells)
                for number, entry in enumerate(entries, 1)
            )

    def example_entries(self) -> list[AdapterEntry]:
        """The adapters that work and bring an example."""
        usable = (entry for entry in self._state.entries if entry.example_prompt and not self._state.problem(entry))
        return list(usable)[:MAX_EXAMPLES]

    def choose(self, number: int) -> None:
        """Choose the example with this number, from 1."""
        self.query(Example)[number - 1].choose()

    def _facts(self) -> Content:
        base = self._state.base
        if base is None:
            return Content("There is no base yet." if self._state.phase == "down" else "The base is opening …")
        facts = f"{base_facts(base)} · context {base.ctx:,} · {self._counted()}"
        loaded = Content.assemble(("Loaded: ", "bold"), facts)
        return Content.assemble(loaded, "\n", (DEMO, QUIET)) if self._is_demo else loaded

    def _counted(self) -> str:
        """How many adapters there are, and how many of them cannot be used."""
        n_entries = len(self._state.entries)
        n_usable = sum(self._state.problem(entry) is None for entry in self._state.entries)
        counted = f"{n_usable or 'no'} adapter{'' if n_usable == 1 else 's'}"
        return counted if n_usable == n_entries else f"{counted}, {n_entries - n_usable} unusable"

    def _own(self) -> Content:
        """The way from the demo to something real; who is there already is told about adapters."""
        folder = tidy(self._state.folder) if self._state.folder else ""
        beside = f"More adapters: {folder}" if folder else ""
        if self._is_demo:
            command = f"  {program_name()} chat --base ANY.gguf --adapter PATH"
            return Content.assemble(OWN, "\n", (command, "bold"), "\n", (beside, QUIET))
        if self._state.entries or not folder:
            return Content.styled(beside, QUIET)
        return Content(f"Put adapters for it into {folder}, or start with --adapter PATH.")


def program_name() -> str:
    """What starts this program here: the script of its checkout, or its name."""
    script = Path("scripts", "edgelora")
    return str(script) if (Path(sys.prefix).parent / script).is_file() else "edgelora"


def tidy(path: Path) -> str:
    """``path`` with ~ for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
