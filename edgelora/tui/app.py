"""The chat's app: lays out the widgets, and passes between them and the conductor."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Footer

from edgelora.adapters.selection import MemberText
from edgelora.tui.appearing import watch_folder
from edgelora.tui.baking import Baking
from edgelora.tui.bases import Bases
from edgelora.tui.branching import Branching
from edgelora.tui.chat_screen import ChatScreen
from edgelora.tui.collecting import CollectingApp
from edgelora.tui.commands import baking_commands, comparing_commands, machine_commands, usual_commands
from edgelora.tui.comparing import Comparing
from edgelora.tui.comparing_app import ComparingApp
from edgelora.tui.conductor import Conductor
from edgelora.tui.continuing import Continuing
from edgelora.tui.conversations import Conversations
from edgelora.tui.keys import all_bindings, require_known, usual_keys
from edgelora.tui.messages_app import MessagesApp
from edgelora.tui.reopening import Reopening
from edgelora.tui.state import ChatState
from edgelora.tui.theme import TINT_DEFAULTS, dress, native_colours
from edgelora.tui.warming import Warming
from edgelora.tui.widgets.baking_line import BakingLine
from edgelora.tui.widgets.composer import Composer
from edgelora.tui.widgets.machine import MachinePanel
from edgelora.tui.widgets.picker import AdapterPicker
from edgelora.tui.widgets.progress_line import ProgressLine
from edgelora.tui.widgets.side import Side
from edgelora.tui.widgets.title_bar import TitleBar
from edgelora.tui.widgets.transcript import Transcript
from edgelora.tui.widgets.welcome import Example, Welcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from textual.app import ComposeResult, SystemCommand
    from textual.driver import Driver
    from textual.screen import Screen

    from edgelora.tui.setup import ChatSetup
    from edgelora.tui.state import Phase


class ChatApp(ComparingApp, MessagesApp, CollectingApp, inherit_bindings=False):
    """Implements Stage. All state is in ``state``; what happens is decided by the conductor."""

    TITLE = "edgelora"
    CSS_PATH = ["styles.tcss", "comparing.tcss", "history.tcss"]  # noqa: RUF012
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - declared by Textual
    VERTICAL_BREAKPOINTS = [(0, "-short"), (24, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+t,f2", "adapters", "Adapters", key_display="^t", priority=True, id="adapters"),
        Binding("ctrl+g,f3", "compare", "Compare", key_display="^g", priority=True, id="compare"),
        Binding("escape", "stop", "Stop", id="stop"),
        Binding("ctrl+o", "conversations", "Open", priority=True, id="conversations"),
        Binding("ctrl+n", "new_conversation", "New", priority=True, id="new"),
        Binding("ctrl+r", "restart", "Try again", priority=True, id="restart"),
        Binding("ctrl+q", "quit", "Quit", priority=True, id="quit"),
        Binding("ctrl+c", "help_quit", show=False),
        Binding("f1", "help", "Help", show=False, id="help"),
        Binding("f4", "machine", "Machine", show=False, priority=True, id="machine"),
        Binding("f5", "bases", "Bases", show=False, priority=True, id="bases"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True, id="suspend"),
        Binding("ctrl+p", "command_palette", "palette", show=False, priority=True, id="palette"),
    ]

    def __init__(self, setup: ChatSetup) -> None:
        super().__init__(ansi_color=native_colours())
        self.state = ChatState(remembered=setup.remembered)
        self._setup = setup
        self._conductor = Conductor(setup, self.state, self)
        self._continuing = Continuing(setup, self.state, self, self._conductor)
        self._branching = Branching(self.state, self._conductor, self._continuing)
        self._reopening = Reopening(setup, self.state, self, self._conductor, self._continuing)
        self._conversations = Conversations(self, self._conductor, self._continuing, self._reopening)
        self._baking = Baking(setup, self.state, self, self._conductor)
        self._comparing = Comparing(setup, self.state, self, self._conductor)
        self._warming = Warming(self.state, self, self._conductor)
        self._bases = Bases(setup, self.state, self, self._conductor)
        dress(self, setup.theme, self.state.remembered.theme)
        self._take_keys(setup.keys)
        self._watch: asyncio.Task[None] | None = None
        self._stale = False
        self._keys_shown: tuple[Phase, bool] = ("opening", False)

    def compose(self) -> ComposeResult:
        """Conversation at the left, picker at the right or over it."""
        composer = Composer(id="composer")
        yield TitleBar(id="title")
        with Horizontal(id="columns"):
            with Vertical(id="conversation"):
                yield Transcript(self._branching.has_others, id="transcript")
                yield BakingLine(id="baking")
                yield ProgressLine(id="progress")
                yield composer
            with Side(id="side"):
                yield AdapterPicker(self.state, composer, id="picker")
                yield MachinePanel(self.state.meter, self._conductor.stats, id="machine")
        yield Footer()

    async def on_mount(self) -> None:
        """Paint first."""
        self.theme_changed_signal.subscribe(self, lambda theme: self.state.remembered.choose(theme=theme.name))
        await self._transcript.add(Welcome(self.state, is_demo=self._setup.is_demo))
        self.query_one(Composer).focus()
        self.refresh_state()
        painted = asyncio.Event()
        self.run_worker(self._conductor.open(painted))
        self.call_after_refresh(self.open_behind, painted)

    def open_behind(self, painted: asyncio.Event) -> None:
        """Open base, library and history behind the first frame, which waits for nothing that they import."""
        self.begin_to_collect()
        painted.set()
        self.run_worker(self._reopening.look())
        self._watch = asyncio.create_task(watch_folder(self.state, self._conductor))

    async def on_unmount(self) -> None:
        """Leave no engine behind, however the app ends, and nothing half-baked."""
        self._baking.stop()
        self._warming.aim(None)
        if self._watch:
            self._watch.cancel()
        await self._conductor.close()

    # --- from the widgets

    async def on_composer_submitted(self, message: Composer.Submitted) -> None:
        """Ask, if something can be asked now; else the text stays where it is."""
        if not self._conductor.takes_prompts:
            self.give_back(message.text)
            self.say_why_not()
            return
        await self._leave_welcome()
        instead_of, self.state.editing = self.state.editing, None
        self.refresh_state()
        self._comparing.close()
        compare = self.state.columns and not instead_of
        ask = self._comparing.ask(message.text) if compare else self._conductor.ask(message.text, instead_of=instead_of)
        self.run_worker(ask)

    def on_composer_example_asked(self, message: Composer.ExampleAsked) -> None:
        """A number was pressed, on the first screen or below columns."""
        self._comparing.choose(message.number - 1)
        for welcome in self.query(Welcome):
            welcome.choose(message.number)

    def on_example_chosen(self, message: Example.Chosen) -> None:
        """Pick its adapter and put its prompt where Enter sends it."""
        self.give_back(message.prompt)
        self.run_worker(self._conductor.switch((MemberText(message.adapter),)))

    def on_adapter_picker_picked(self, message: AdapterPicker.Picked) -> None:
        """Swap."""
        self.run_worker(self._comparing.end(message.pick))

    def on_adapter_picker_looked_at(self, message: AdapterPicker.LookedAt) -> None:
        """Read ahead under it."""
        self._warming.aim(message.pick)
        self.query_one(Side).show_open()

    async def on_adapter_picker_report_asked(self, message: AdapterPicker.ReportAsked) -> None:
        """All about it, with the report of its conversion."""
        entry, library = self.state.entry(message.name), self._conductor.adapters.library
        if entry and library:
            from edgelora.tui.widgets.report_screen import ReportScreen

            conversion = await asyncio.to_thread(library.report, message.name)
            self.push_screen(ReportScreen(entry, self.state, conversion))

    # --- keys

    def action_adapters(self) -> None:
        """Go to the picker, or back from it."""
        picker = self.query_one(AdapterPicker)
        if picker.has_focus_within:
            picker.action_leave()
        else:
            picker.open()
            self.query_one(Side).show_open()
            self.run_worker(self._conductor.adapters.look())

    async def action_machine(self) -> None:
        """Show what the machine is doing, or hide it."""
        await self.query_one(MachinePanel).toggle()
        self.query_one(Side).show_open()

    def action_bases(self) -> None:
        """Choose another base."""
        self.run_worker(self._choose_base())

    async def _choose_base(self) -> None:
        from edgelora.engine.free_memory import free_memory
        from edgelora.tui.widgets.base_picker import BasePicker

        choices = await self._bases.choices()
        self.push_screen(BasePicker(choices, self._conductor.home, free_memory()), self._change_base)

    def _change_base(self, base: Path | None) -> None:
        if base:
            self.run_worker(self._bases.change(base))

    def action_help(self) -> None:
        """Say what the keys do where the focus is, or stop saying so."""
        from textual.widgets import HelpPanel

        if self.screen.query(HelpPanel):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def action_stop(self) -> None:
        """Stop editing, or the answer, or go back to the former adapter, or stop baking."""
        if self.state.editing:
            self._edit(None)
        elif self.state.phase in _STOPPABLE:
            self.run_worker(self._conductor.stop())
        else:
            self._baking.stop()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The palette's commands."""
        yield from comparing_commands(self.state, self._comparing, self.action_compare, self.run_worker)
        yield from machine_commands(self.state, self.action_bases, self.action_machine)
        yield from baking_commands(self.state, self._baking, self.run_worker)
        yield from self._conversations.commands()
        yield from usual_commands(self, self.state, self.action_help)

    def action_new_conversation(self) -> None:
        """Leave this conversation and begin another."""
        self.run_worker(self._start_over())

    def action_restart(self) -> None:
        """Open the engine again."""
        self.run_worker(self._conductor.open())

    async def action_quit(self) -> None:
        """End the engine while everything can still be shown, then the app."""
        await self._conductor.close()
        self.exit()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that mean nothing now are not offered; over a screen that lies on the chat it has its own."""
        if self._conversations.in_front and action in _CHAT_ACTIONS:
            return False
        if action == "stop":
            return self.state.phase in _STOPPABLE or bool(self.state.baking or self.state.editing)
        return self.state.phase == "down" if action == "restart" else True

    # --- Stage

    def refresh_state(self) -> None:
        """Show the state anew, once however often this is called until then."""
        if not self._stale:
            self._stale = True
            self.call_later(self._show_state)

    def show_progress(self, label: str, done: int, total: int) -> None:
        """Something takes time."""
        self.query_one("#progress", ProgressLine).show_progress(label, done, total)

    def hide_progress(self) -> None:
        """It is over."""
        self.query_one("#progress", ProgressLine).hide()

    @property
    def _transcript(self) -> Transcript:
        return self.query_one(Transcript)

    async def _start_over(self) -> None:
        await self._continuing.start_over()
        self.state.editing = None
        await self._transcript.clear()
        await self._transcript.add(Welcome(self.state, is_demo=self._setup.is_demo))
        self.refresh_state()
        self.query_one(Composer).focus()
        self.run_worker(self._reopening.look())

    async def _leave_welcome(self) -> None:
        for welcome in self.query(Welcome):
            await self._transcript.discard(welcome)

    @property
    def _is_demo(self) -> bool:
        return self._setup.is_demo and self._conductor.home == self._setup.base

    def get_default_screen(self) -> ChatScreen:
        """The one that renders what is new only."""
        return ChatScreen(id="_default")

    def get_driver_class(self) -> type[Driver]:
        """On a terminal one that notices when it is gone."""
        usual = super().get_driver_class()
        if sys.platform == "win32":
            return usual
        from edgelora.tui.terminal_driver import TerminalDriver

        return TerminalDriver if usual in TerminalDriver.__bases__ else usual

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The colours that tell adapters apart, unless a theme has its own."""
        return TINT_DEFAULTS

    def _take_keys(self, chosen: Mapping[str, str]) -> None:
        """Use the keys that were ``chosen``. Raises ConfigError for one that means nothing."""
        if chosen:
            require_known(chosen, [*self.BINDINGS, *all_bindings()])
            self.set_keymap(chosen)
        self.state.keys = {**usual_keys(self.BINDINGS), **self._keymap}
        # where the footer looks for the palette's key
        self.COMMAND_PALETTE_BINDING = self.state.keys["palette"].split(",")[0]  # type: ignore[misc]

    async def _show_state(self) -> None:
        self._stale = False
        if not self.is_running:
            return
        self.query_one(TitleBar).show_base(self._conductor.home.name, self.state.base, is_demo=self._is_demo)
        self.query_one(AdapterPicker).refresh_rows()
        composer, welcomes = self.query_one(Composer), self.query(Welcome)
        composer.show_state(self.state)
        composer.examples = len(welcomes.first().example_entries()) if welcomes else self._comparing.n_choices
        self.screen_stack[0].set_class(bool(self.state.columns), "-comparing")
        for welcome in welcomes:
            await welcome.show()
        self.query_one(BakingLine).show_state(self.state)
        if self.state.phase != "answering":
            await self._transcript.settle()
        keys = (self.state.phase, bool(self.state.baking or self.state.editing))
        if self._keys_shown != keys:
            self._keys_shown = keys
            self.refresh_bindings()


_STOPPABLE: tuple[Phase, ...] = ("answering", "rereading")

_CHAT_ACTIONS = (
    "adapters",
    "bases",
    "compare",
    "conversations",
    "help",
    "machine",
    "new_conversation",
    "restart",
    "stop",
)
