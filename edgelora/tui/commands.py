"""What the chat adds to the command palette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand

from edgelora.tui.comparing import columns_label, sweep
from edgelora.tui.picks import pick_label

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from textual.app import App

    from edgelora.tui.baking import Baking
    from edgelora.tui.comparing import Comparing
    from edgelora.tui.state import ChatState

    Run = Callable[[Coroutine[Any, Any, None]], object]


def baking_commands(state: ChatState, baking: Baking, run: Run) -> Iterator[SystemCommand]:
    """What can be done about baking now; ``run`` starts it beside everything else."""
    if state.baking:
        label = pick_label(state.baking)
        yield SystemCommand("Stop baking", f"{label} stays an adapter; nothing is kept", baking.stop)
    elif state.baked:
        label = pick_label(state.baked)
        yield SystemCommand(
            "Back to the base with adapters",
            f"Swap again; {label} is applied beside the base, the conversation stays",
            lambda: run(baking.go_back()),
        )
    else:
        merged = f"{pick_label(state.active)}: merged in the background, then the conversation goes on there"
        yield SystemCommand(
            "Bake the chosen adapter into the base",
            merged if state.active else "For full speed with one adapter; choose it first",
            lambda: run(baking.bake()),
        )


def machine_commands(
    state: ChatState, change_base: Callable[[], None], show_machine: Callable[[], Any]
) -> Iterator[SystemCommand]:
    """What concerns the base and the machine."""
    bases, machine = state.key("bases"), state.key("machine")
    yield SystemCommand("Change the base …", f"The conversation stays; adapters that fit stay ({bases})", change_base)
    yield SystemCommand("What the machine is doing", f"Memory, speed and the last swaps ({machine})", show_machine)


def comparing_commands(
    state: ChatState, comparing: Comparing, choose: Callable[[], None], run: Run
) -> Iterator[SystemCommand]:
    """What can be done about answers beside each other; ``choose`` asks which."""
    if state.columns:
        label = pick_label(state.active)
        yield SystemCommand("Stop comparing", f"Only {label} answers from here on", lambda: run(comparing.end()))
    key = state.key("compare")
    yield SystemCommand("Compare …", f"Choose two to four that answer beside each other ({key})", choose)
    if state.active:
        label, columns = pick_label(state.active), ((), state.active)
        yield SystemCommand(
            "Compare the base with the chosen adapter",
            f"base | {label}: both answer at the same time",
            lambda: run(comparing.begin(columns)),
        )
    if len(state.active) == 1:
        name = state.active[0].ref
        columns_of_sweep = sweep(name)
        yield SystemCommand(
            f"Sweep the scale of {name}",
            f"{columns_label(columns_of_sweep)}",
            lambda: run(comparing.begin(columns_of_sweep)),
        )


def usual_commands(app: App[None], state: ChatState, show_keys: Callable[[], None]) -> Iterator[SystemCommand]:
    """What any program has. Of Textual's own some are about widgets, which nobody here has heard of."""
    yield SystemCommand("Theme …", "Other colours, also for the colour-blind", app.action_change_theme)
    help_key, quit_key = state.key("help"), state.key("quit")
    yield SystemCommand("Keys", f"What the keys do here, or no longer ({help_key})", show_keys)
    yield SystemCommand("Quit", f"Leave the chat ({quit_key})", app.action_quit)
