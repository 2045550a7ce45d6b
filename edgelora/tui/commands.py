"""What the chat adds to the command palette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import SystemCommand

from edgelora.tui.picks import pick_label

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from edgelora.tui.baking import Baking
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
        label = pick_label(state.active)
        yield SystemCommand(
            "Bake the chosen adapter into the base",
            f"{label}: merged in the background, then the conversation goes on there",
            lambda: run(baking.bake()),
        )
