"""Keys of one's own, help, suspending, and terminals without colours."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import walk_packages

import pytest
from textual.binding import Binding
from textual.command import CommandPalette
from textual.widgets import HelpPanel

import edgelora.tui
from edgelora.adapters.selection import MemberText
from edgelora.errors import ConfigError, GGUFError
from edgelora.tui.app import ChatApp
from edgelora.tui.keys import all_bindings
from edgelora.tui.widgets.columns_chooser import ColumnsChooser
from tests.tui.driving import chat


async def test_keys_can_be_chosen_in_the_app_and_in_the_picker() -> None:
    async with chat(keys={"adapters": "f7", "picker.mix": "tab", "picker.use": "f8"}) as driver:
        await driver.keys("f7")
        assert driver.picker.has_focus_within
        await driver.keys(*"legal", "tab", *"medi", "tab", "f8")
        await driver.until(lambda: driver.app.state.settled == (MemberText("legal"), MemberText("medical")))
        await driver.keys("ctrl+t")
        assert not driver.picker.has_focus_within


@pytest.mark.parametrize(("keys", "said"), [({"adaptors": "f7"}, "adapters"), ({"adapters": " "}, "no key")])
async def test_keys_that_mean_nothing_are_refused(keys: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        async with chat(keys=keys):
            pass


async def test_a_theme_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        async with chat(theme="nowhere"):
            pass


async def test_help_comes_and_goes() -> None:
    async with chat() as driver:
        await driver.keys("f1")
        await driver.until(lambda: bool(driver.app.screen.query(HelpPanel)))
        await driver.keys("f1")
        await driver.until(lambda: not driver.app.screen.query(HelpPanel))


def test_every_key_in_the_footer_has_a_name_of_its_own() -> None:
    bindings = list(Binding.make_bindings([*ChatApp.BINDINGS, *all_bindings()]))
    assert [binding for binding in bindings if binding.show and not binding.id] == []
    meant: dict[str, set[str]] = {}
    for binding in bindings:
        meant.setdefault(binding.id or "", set()).add(binding.action)
    assert [name for name, actions in meant.items() if name and len(actions) > 1] == []


def test_every_class_with_keys_is_known() -> None:
    names = [module.name for module in walk_packages(edgelora.tui.__path__, "edgelora.tui.")]
    with_keys = {
        value
        for name in names
        for value in vars(import_module(name)).values()
        if isinstance(value, type) and value.__module__ == name and "BINDINGS" in vars(value)
    }
    shown = [binding for each in with_keys for binding in vars(each)["BINDINGS"] if binding.show]
    known = [*ChatApp.BINDINGS, *all_bindings()]
    assert [binding for binding in shown if binding not in known] == []


async def test_comparing_conversations_and_the_palette_have_keys_of_ones_own() -> None:
    keys = {"compare": "f7", "compare.mark": "f8", "compare.back": "f9", "conversations": "f10", "palette": "f12"}
    async with chat(keys=keys) as driver:
        await driver.keys("f7")
        await driver.until(lambda: isinstance(driver.app.screen, ColumnsChooser))
        await driver.keys(*"legal", "f8")
        await driver.until(lambda: "1 base │ 2 legal" in driver.screen_text)
        await driver.keys("f9")
        await driver.until(lambda: not isinstance(driver.app.screen, ColumnsChooser))
        await driver.keys("f10")
        await driver.until(lambda: bool(driver.app._notifications))  # that no history is kept
        await driver.keys("ctrl+g", "ctrl+o", "ctrl+p")
        assert len(driver.app.screen_stack) == 1
        assert re.search(r"f12 palette", driver.screen_text, re.IGNORECASE)
        await driver.keys("f12")
        await driver.until(lambda: isinstance(driver.app.screen, CommandPalette))


async def test_texts_name_the_keys_of_ones_own() -> None:
    async with chat(GGUFError("broken"), keys={"restart": "ctrl+f5"}) as driver:
        assert "Ctrl+F5 tries again" in driver.remarks


async def test_what_means_nothing_now_is_no_error_in_the_chooser_of_columns() -> None:
    async with chat() as driver:
        await driver.keys("ctrl+g")
        await driver.until(lambda: isinstance(driver.app.screen, ColumnsChooser))
        await driver.keys("ctrl+c", *"legal", "enter")
        await driver.until(lambda: driver.app.state.columns == ((), (MemberText("legal"),)))


async def test_the_palette_has_what_the_chat_can_do_and_nothing_else() -> None:
    async with chat() as driver:
        titles = [command.title for command in driver.app.get_system_commands(driver.app.screen)]
        assert [title for title in titles if title in ("Maximize", "Screenshot")] == []
        await driver.command("keys")
        await driver.until(lambda: bool(driver.app.screen.query(HelpPanel)))
