"""SIGKILL of server, engine or `adapters add` while all of them work: nothing is half there, and it goes on."""

from __future__ import annotations

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx2
import psutil
import pytest
from support.stores import put, state

from edgelora.adapters.store.store import AdapterStore
from tests.server.processes import CLI, ServerProcess, adapters_command, environment
from tests.server.serving import NEVER_ENDS, PATIENCE_S, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

KILLS = 30
SERVE = [*CLI, "serve", "--port", "0", "--threads", "1", "--ctx", "1024", "--temperature", "0"]
ASK: dict[str, Any] = {"model": "stays", "prompt": "Once", "max_tokens": 5}
LONG: dict[str, Any] = {**ASK, "max_tokens": 600, "logit_bias": NEVER_ENDS}


class Scene:
    """A library, a server on it that answers, and somebody who adds to it."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.source, self.starts = folder, source, 0
        self.adapters = folder / "adapters"
        self.store = AdapterStore(self.adapters)
        put(self.store, "stays", source.read_bytes())
        self.server = self.start()
        self.says = self.ask(ASK).json()["choices"]

    def start(self) -> ServerProcess:
        self.starts += 1
        log = self.folder / f"log{self.starts}"
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return ServerProcess(SERVE, log, environment(self.adapters, TMPDIR=str(temporary)))

    def ask(self, body: dict[str, Any]) -> httpx2.Response:
        return httpx2.post(f"{self.server.url}/v1/completions", json=body, timeout=PATIENCE_S, verify=False)

    def kill(self, victim: str, adding: subprocess.Popen[bytes]) -> None:
        if victim == "add":
            adding.kill()
        elif victim == "engine":
            self.server.engine.kill()
        else:
            engine = self.server.engine
            self.server.process.kill()
            self.server.process.wait(PATIENCE_S)
            assert not psutil.wait_procs([engine], timeout=PATIENCE_S)[1], "the engine outlives its server"
            self.server = self.start()

    def check(self, added: set[str]) -> None:
        """The library is whole and has ``added``; the server says what it said before."""
        manifest = self.store.read()
        for ref, data in state(self.store).items():
            name, _, number = ref.partition("@")
            assert hashlib.sha256(data).hexdigest() == manifest.version(name, int(number)).sha256
        assert added | {"stays"} <= set(manifest.adapters)
        until(lambda: self.ask(ASK).status_code == 200)
        assert self.ask(ASK).json()["choices"] == self.says


@pytest.fixture
def scene(tmp_path: Path, demo_base: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path, demo_base.parent / "adapters" / "legal.gguf")
    yield scene
    scene.server.process.kill()
    scene.server.process.wait(PATIENCE_S)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_kills_leave_everything_whole(scene: Scene) -> None:
    moments, added = random.Random(5), set[str]()
    source = scene.source.parent / "medical.gguf"
    for number in range(KILLS):
        victim = ("add", "engine", "server")[number % 3]
        with ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(ask_and_bear, scene, LONG) for _ in range(3)]
            adding = adapters_command(scene.adapters, "add", source, "--name", f"a{number}")
            threading.Event().wait(moments.uniform(0, 1.5))
            scene.kill(victim, adding)
            code = adding.wait(PATIENCE_S)
            [one.result() for one in asked]
        if code == 0:
            added.add(f"a{number}")
        assert victim == "add" or code == 0
        scene.check(added)
    put(scene.store, "later", "x")
    assert scene.store.strays() == ()
    assert list((scene.store.folder / "incoming").iterdir()) == []
    listing = adapters_command(scene.adapters, "list", "--usage", "--json")
    assert listing.wait(PATIENCE_S) == 0
    assert scene.server.end() == 0
    assert list((scene.folder / "tmp").iterdir()) == []


def ask_and_bear(scene: Scene, body: dict[str, Any]) -> None:
    """Ask for a long answer, which may end in any way."""
    with suppress(httpx2.HTTPError):
        assert scene.ask(body).status_code in (200, 503)
