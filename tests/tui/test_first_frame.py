"""What the chat's first frame waits for, in the real program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.terminal import Terminal

NOT_NEEDED = {
    "edgelora.adapters.library",
    "edgelora.engine",
    "edgelora.gguf.reader",
    "edgelora.merge",
    "edgelora.native",
    "edgelora_convert",
    "gguf",
    "httpx",
    "httpx2",
    "huggingface_hub",
    "jinja2",
    "llama_cpp",
    "markdown_it",
    "multiprocessing",
    "numpy",
    "psutil",
    "pydantic",
    "pygments",
    "sqlite3",
}

UNTIL_THEN = """
import gc, pathlib, sys
from edgelora.cli import main
from edgelora.tui.app import ChatApp

modules = pathlib.Path(sys.argv.pop())
open_behind = ChatApp.open_behind

def note(app, painted):
    modules.write_text("\\n".join(sys.modules))
    open_behind(app, painted)
    app.exit(return_code=0 if gc.isenabled() else 1)

ChatApp.open_behind = note
main()
"""


def test_it_waits_for_no_import_that_only_what_follows_needs(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    command = [sys.executable, "-c", UNTIL_THEN, "chat", "--no-history"]
    environment = {**os.environ, "TERM": "xterm-256color", "EDGELORA_CHAT_STATE": str(tmp_path / "chat.json")}
    terminal = Terminal([*command, str(modules)], columns=100, rows=30, environment=environment)
    try:
        code = terminal.wait_for_exit(90)
        said = terminal.text
    finally:
        terminal.close()
    assert code == 0, said
    loaded = set(modules.read_text().split("\n"))
    assert "edgelora.tui.widgets.picker" in loaded
    assert loaded & NOT_NEEDED == set()
