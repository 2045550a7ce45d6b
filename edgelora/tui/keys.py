"""Keys that a person has chosen in the settings file."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from textual import actions
from textual.binding import Binding

from edgelora.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from textual.binding import BindingType
    from textual.dom import DOMNode


def require_known(keys: Mapping[str, str], bindings: Iterable[BindingType]) -> None:
    """Raise ConfigError for the first name in ``keys`` that no binding has, or one without a key."""
    known = list(usual_keys(bindings))
    for name, key in keys.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            there = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
            raise ConfigError(f"[keys] in the settings file: nothing is called {name!r}", there)
        if not key.strip(" ,"):
            raise ConfigError(f"[keys] in the settings file: {name} has no key", 'Write it like "ctrl+t" or "f2".')


def usual_keys(bindings: Iterable[BindingType]) -> dict[str, str]:
    """The names of ``bindings`` and their keys where nobody has chosen others."""
    return {each.id: each.key for each in bindings if isinstance(each, Binding) and each.id}


def untold(bindings: Iterable[BindingType]) -> list[BindingType]:
    """The same, but left out of the help, whose first page would be about moving a cursor."""
    return [replace(each, system=True) for each in bindings if isinstance(each, Binding)]


def all_bindings() -> list[BindingType]:
    """Those of every widget and screen that have names. Imports screens that are opened later."""
    from edgelora.tui.dialogs import SamplingDialog, SystemPromptDialog
    from edgelora.tui.history_screen import HistoryScreen
    from edgelora.tui.widgets.base_picker import BasePicker
    from edgelora.tui.widgets.columns import Columns
    from edgelora.tui.widgets.columns_chooser import ColumnsChooser
    from edgelora.tui.widgets.picker import AdapterPicker
    from edgelora.tui.widgets.report_screen import ReportScreen
    from edgelora.tui.widgets.transcript import Transcript

    screens = (ColumnsChooser, HistoryScreen, BasePicker, ReportScreen, SystemPromptDialog, SamplingDialog)
    return [binding for each in (AdapterPicker, Transcript, Columns, *screens) for binding in each.BINDINGS]


def take_key(node: DOMNode, keys: Mapping[str, str], key: str) -> bool:
    """Run what ``key`` means for ``node`` with ``keys`` of one's own. Gives whether it means anything now."""
    bindings = node._bindings.copy()
    bindings.apply_keymap(dict(keys))
    for binding in bindings.key_to_bindings.get(key, ()):
        _, name, arguments = actions.parse(binding.action)
        try:
            getattr(node, f"action_{name}")(*arguments)
        except actions.SkipAction:  # such as copying where nothing is selected
            return False
        return True
    return False
