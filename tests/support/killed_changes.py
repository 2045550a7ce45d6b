"""Run as a script: changes a library in child processes that are killed before each thing they do to the disk.

Prints one JSON line for each child: the change, how many things it had done, whether it got to its end, the versions in
the library afterwards with the SHA-256 of each file, and what else is left once somebody has made another change.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from edgelora.adapters.store.store import AdapterStore
from support.stores import put, state

_CHANGES = {
    "add": lambda store: put(store, "legal", "three", report={"n_pairs": 1}),
    "new": lambda store: put(store, "medical", "four"),
    "pin": lambda store: store.pin("legal@1"),
    "rollback": lambda store: store.rollback("legal"),
    "alias": lambda store: store.alias("law", "legal@2"),
    "remove": lambda store: store.remove("legal@1"),
    "remove all": lambda store: store.remove("other"),
}
_TOUCHING = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}


def main(folder: Path, changes: list[str]) -> None:
    """Kill each of ``changes`` everywhere."""
    start = folder / "start"
    prepared = AdapterStore(start)
    for name, text in (("legal", "one"), ("legal", "two"), ("other", "five")):
        put(prepared, name, text)
    for change in changes:
        after, ended = 0, False
        while not ended:
            adapters = folder / f"{change} {after}"
            shutil.copytree(start, adapters)
            ended = _killed(adapters, change, after)
            print(json.dumps([change, after, ended, _hashes(adapters), _again(adapters, change)]), flush=True)
            after += 1


def _killed(adapters: Path, change: str, after: int) -> bool:
    """Make a change in a child that is killed after so many things; whether it was done before."""
    child = os.fork()
    if child == 0:
        left = [after]

        def count(event: str, arguments: tuple[object, ...]) -> None:
            if event in _TOUCHING and str(adapters) in str(arguments[0]):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        _CHANGES[change](AdapterStore(adapters))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _hashes(adapters: Path) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest()[:8] for name, data in state(AdapterStore(adapters)).items()}


def _again(adapters: Path, change: str) -> list[str]:
    """What is left over once somebody has changed something else."""
    store = AdapterStore(adapters)
    put(store, "later", "six")
    store.read()
    return [path.name for path in (*store.strays(), *(store.folder / "incoming").iterdir(), *_parts(store.folder))]


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
