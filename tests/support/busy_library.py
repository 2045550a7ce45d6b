"""Run as a script: has two child processes change one library without end, and kills both at random moments.

Does that again and again, and prints a JSON line each time: the versions that are not what the manifest says they are.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

from edgelora.adapters.store.store import AdapterStore
from edgelora.errors import AdapterError
from support.stores import put, state

_MOST_STEPS = 20


def main(folder: Path, kills: int) -> None:
    """Kill, look, and go on."""
    moments = random.Random(7)
    for _ in range(kills):
        children = [_forked(folder, name) for name in ("mine", "other")]
        for child, steps in children:
            for _ in range(moments.randrange(_MOST_STEPS)):
                os.read(steps, 1)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(steps)
        print(json.dumps(_damaged(AdapterStore(folder))), flush=True)


def _forked(folder: Path, name: str) -> tuple[int, int]:
    """A child that is busy, and a pipe that it writes a byte into with each step."""
    steps, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(steps)
        _be_busy(folder, name, told)
    os.close(told)
    return child, steps


def _be_busy(folder: Path, name: str, told: int) -> None:
    store = AdapterStore(folder)
    for number in itertools.count():
        os.write(told, b".")
        with suppress(AdapterError):
            added = put(store, name, f"{name} {number % 7}", report={"number": number})
            os.write(told, b".")
            if number % 3 == 0:
                store.rollback(name)
            if number % 5 == 0:
                store.remove(f"{name}@{added.number}")
            if number % 11 == 0:
                store.remove(name)


def _damaged(store: AdapterStore) -> list[str]:
    found, manifest = state(store), store.read()
    return [
        ref for ref, data in found.items() if manifest.version(*_parts(ref)).sha256 != hashlib.sha256(data).hexdigest()
    ]


def _parts(ref: str) -> tuple[str, int]:
    name, _, number = ref.partition("@")
    return name, int(number)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
