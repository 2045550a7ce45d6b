"""SIGKILL while the library is changed: it opens, nothing is half there, nothing is lost, nothing is left over."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.stores import put, state

from edgelora.adapters.store.store import AdapterStore

SUPPORT = Path(__file__).parent.parent / "support"
SOURCES = [str(path) for path in (SUPPORT.parent, SUPPORT.parent.parent, SUPPORT.parent.parent / "convert")]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(SOURCES)}
    command = [sys.executable, str(SUPPORT / script), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


BEFORE = {"legal@1": sha("one"), "legal@2": sha("two"), "other@1": sha("five")}
AFTER = {
    "add": BEFORE | {"legal@3": sha("three")},
    "new": BEFORE | {"medical@1": sha("four")},
    "remove": {name: found for name, found in BEFORE.items() if name != "legal@1"},
    "remove all": {name: found for name, found in BEFORE.items() if name != "other@1"},
}


@pytest.mark.parametrize(
    "changes",
    [
        ("add", "remove"),
        pytest.param(("new", "pin", "rollback", "alias", "remove all"), marks=pytest.mark.slow),
    ],
)
def test_a_change_that_is_killed_anywhere_is_done_or_not(tmp_path: Path, changes: tuple[str, ...]) -> None:
    """Before every opening, renaming and removing of a file."""
    with start("killed_changes.py", tmp_path, *changes) as changing:
        assert changing.stdout
        rows = [json.loads(line) for line in changing.stdout]
    assert changing.returncode == 0
    kills = [row for row in rows if not row[2]]
    assert {row[0] for row in kills} == set(changes)
    assert len(kills) > 20
    for change, _, ended, found, left in rows:
        after = AFTER.get(change, BEFORE)
        assert found == after if ended else found in (BEFORE, after), change
        assert left == [], change
    for change in AFTER.keys() & set(changes):  # some kills come before the step that counts, and some after it
        assert {json.dumps(row[3], sort_keys=True) for row in kills if row[0] == change} == {
            json.dumps(BEFORE, sort_keys=True),
            json.dumps(AFTER[change], sort_keys=True),
        }


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_busy_library_outlives_processes_that_are_killed(tmp_path: Path, kills: int) -> None:
    """At random moments, two at a time that change the same library."""
    store = AdapterStore(tmp_path)
    put(store, "stays", "here")
    with start("busy_library.py", tmp_path, kills) as busy:
        assert busy.stdout
        damaged = [json.loads(line) for line in busy.stdout]
    assert (busy.returncode, damaged) == (0, [[]] * kills)
    put(store, "stays", "still")
    assert store.strays() == ()
    assert state(store)["stays@1"] == b"here"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_adding_on_the_command_line_is_killed_at_random_moments(tmp_path: Path) -> None:
    """A folder that is converted, with all that goes before: the library opens, the adapter is whole or not there."""
    source = SUPPORT.parent.parent / "models" / "source" / "adapters" / "legal"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(SOURCES), "EDGELORA_ADAPTERS": str(tmp_path)}
    moments = random.Random(11)
    store, longest = AdapterStore(tmp_path), 1.0
    for number in range(31):
        command = [sys.executable, "-m", "edgelora.cli", "adapters", "add", str(source), "--name", f"a{number}"]
        began = time.monotonic()
        adding = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if number == 0:  # to its end, to know how long it takes
            assert adding.wait() == 0
            longest = time.monotonic() - began
        else:
            try:
                adding.wait(moments.uniform(0.2, 1.1) * longest)
            except subprocess.TimeoutExpired:
                adding.kill()
                adding.wait()
        for ref, data in state(store).items():
            name, _, version = ref.partition("@")
            assert hashlib.sha256(data).hexdigest() == store.read().version(name, int(version)).sha256
    assert store.read().find("a0") == ("a0", 1)
    put(store, "later", "x")
    assert store.strays() == ()
    assert list((store.folder / "incoming").iterdir()) == []
