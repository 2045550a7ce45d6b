from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from edgelora.cli.root import COMMANDS, root

if TYPE_CHECKING:
    from conftest import Edgelora

HEAVY = {"llama_cpp", "textual", "numpy", "pydantic", "rich", "jinja2", "gguf"}
SHOW_IMPORTS = """
import sys
from edgelora.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += every_command(command, (*path, name))
    return found


def test_no_arguments_is_help(edgelora: Edgelora) -> None:
    bare = edgelora()
    assert bare == edgelora("--help")
    assert (bare.code, bare.err) == (0, "")
    assert all(name in bare.out for name in COMMANDS)


@pytest.mark.parametrize("command", every_command(root), ids=" ".join)
def test_every_command_explains_itself(edgelora: Edgelora, command: tuple[str, ...]) -> None:
    outcome = edgelora(*command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"Usage: edgelora {' '.join(command)}")


@pytest.mark.parametrize("group", ["", "bench", "adapters", "bases"])
def test_lists_of_commands_are_not_cut_off(edgelora: Edgelora, group: str) -> None:
    _usage, *lines = edgelora(*group.split(), "--help").out.splitlines()
    assert not [line for line in lines if line.endswith("...")]


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], ["run", "--help"], ["adapters", "path"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_IMPORTS, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [["no-such"], ["run"], ["run", "--top-k", "many", "x"], ["run", "--stop", "", "x"], ["bench", "no-such"]],
)
def test_wrong_usage_is_code_2(edgelora: Edgelora, arguments: list[str]) -> None:
    outcome = edgelora(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Error:" in outcome.err
