"""A server in a process of its own under 64 clients for minutes, while its adapters are rolled out.

scripts/test -m slow --minutes 10 tests/server/test_endurance.py -s
"""

from __future__ import annotations

import asyncio
import json
import statistics
from typing import TYPE_CHECKING

import httpx2
import psutil
import pytest
from support.engines import pool_bytes

from edgelora.adapters.store.store import AdapterStore
from tests.server.load import Beside, Crowd, Rollouts
from tests.server.processes import ROOT, ServerProcess, environment, server_process
from tests.server.serving import Http, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

CLIENTS = 64
NAMES = [f"tenant{i}" for i in range(8)]
GROWTH = 1.05
SLACK = 24 << 20
"""What memory may have grown by in the second half of the time: pages of threads and of Python's own."""


class Memory(Beside):
    """Looks at what processes take in memory, in bytes, until it is told to end."""

    def __init__(self, processes: dict[str, psutil.Process], pause: float) -> None:
        super().__init__()
        self.seen: dict[str, list[int]] = {name: [] for name in processes}
        self._processes, self._pause = processes, pause

    def _run(self) -> None:
        while not self._ends.wait(self._pause):
            for name, process in self._processes.items():
                self.seen[name].append(process.memory_info().rss)

    def flat(self, name: str) -> bool:
        """Whether the last fifth of the looks is not above the one in the middle."""
        middle, last = self.fifth(name, 2), self.fifth(name, 4)
        return last <= middle * GROWTH + SLACK

    def fifth(self, name: str, which: int) -> float:
        """The median of a fifth of the looks."""
        seen = self.seen[name]
        return statistics.median(seen[which * len(seen) // 5 : (which + 1) * len(seen) // 5])


def test_many_clients_for_minutes(
    tmp_path: Path, f32_base: Path, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    adapters, log = tmp_path / "adapters", tmp_path / "log"
    command = [str(ROOT / "tests" / "support" / "exact_server.py"), str(f32_base), str(pool_bytes(f32_base, 32))]
    rollouts = Rollouts(AdapterStore(adapters), f32_base, tmp_path, NAMES, pause=seconds / 200)
    with server_process(command, log, environment(adapters)) as server, rollouts:
        until(lambda: set(NAMES) <= listed(server))
        processes = {"server": psutil.Process(server.process.pid), "engine": server.engine}
        crowd = Crowd(server.url, ["base", *NAMES, "tenant0:0.5+tenant1:-0.25", "tenant2:0.3"], seconds)
        with Memory(processes, seconds / 100) as memory:
            asyncio.run(crowd.run(CLIENTS))
        rollouts.end()
        until(lambda: counted(server)["edgelora_requests_running"] == 0)
        metrics = counted(server)
        told = {
            "ends": dict(crowd.ends),
            "changes": dict(rollouts.made),
            "selections": len({key for _, key in crowd.answers}),
            "MiB, first, third and last fifth": {
                name: [round(memory.fifth(name, i) / 2**20, 1) for i in (0, 2, 4)] for name in processes
            },
            "threads": {name: process.num_threads() for name, process in processes.items()},
            "files": {name: process.num_fds() for name, process in processes.items()},
            "acquired": metrics["edgelora_adapters_acquired"],
        }
        with capsys.disabled():
            print(json.dumps(told, indent=1))
        assert not [end for end in crowd.ends if end.startswith("5")], crowd.odd[:5]
        assert len(crowd.odd) <= crowd.ends.total() / 1000, crowd.odd[:5]  # a machine that stood still: 408
        assert crowd.ends["answered"] > CLIENTS
        check_answers(crowd, rollouts.contents)
        assert metrics["edgelora_adapters_acquired"] == metrics["edgelora_requests_waiting"] == 0
        assert metrics["edgelora_engine_restarts_total"] == 0
        assert memory.flat("server")
        assert memory.flat("engine")
        assert server.end() == 0
    assert "Traceback" not in server.log


def check_answers(crowd: Crowd, contents: dict[str, set[str]]) -> None:
    """Every answer is attested to be made by adapters that were asked for, and is what these and no others say."""
    by_weights: dict[object, set[str]] = {}
    for (model, key), texts in crowd.answers.items():
        by_weights.setdefault(key, set()).update(texts)
        wanted = [] if model == "base" else [part.partition(":") for part in model.split("+")]
        made = {scale: sha256 for sha256, scale in key}
        assert len(key) == len(wanted), model
        assert all(made[float(scale or 1)] in contents[name] for name, _, scale in wanted), model
    assert all(len(texts) == 1 for texts in by_weights.values()), by_weights
    assert len(set.union(*by_weights.values())) == len(by_weights)


def listed(server: ServerProcess) -> set[str]:
    """The models that it has."""
    http = Http(server.url)
    names = {one["id"] for one in http.get("/v1/models")["data"]}
    http.client.close()
    return names


def counted(server: ServerProcess) -> dict[str, float]:
    """Its metrics without labels."""
    text = httpx2.get(f"{server.url}/metrics", timeout=100, verify=False).text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#") and "{" not in line)
    return {name: float(value) for name, _, value in lines}
