"""The load is the same for everybody, and what comes back is counted right."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from support.adapters import write_adapter

from edgelora.adapters.library import AdapterLibrary
from edgelora.bench.load.engine_target import EngineTarget
from edgelora.bench.load.http_target import HttpTarget, LlamaServer, OpenAI
from edgelora.bench.load.report import load_document, load_table
from edgelora.bench.load.run import LoadResult, run_load
from edgelora.bench.load.target import Answered
from edgelora.bench.load.workload import Job, Workload, jobs
from edgelora.bench.subject import find_subjects
from edgelora.errors import EdgeloraError
from edgelora.types import EngineConfig, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FakeTarget:
    """Answers with as many pieces as are asked for; fails every ``fails``-th request."""

    name, n_vocab = "fake", 100

    def __init__(self, fails: int = 0) -> None:
        self.running = self.most_running = 0
        self.seen: list[Job] = []
        self._fails = fails

    async def answer(self, job: Job, heard: Callable[[], None]) -> Answered:
        self.seen.append(job)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        for _ in range(job.max_tokens):
            await asyncio.sleep(0)
            heard()
        self.running -= 1
        if self._fails and job.number % self._fails == 0:
            raise EdgeloraError("no")
        return Answered(job.max_tokens, wrong_adapter=job.number == 5)

    async def close(self) -> None:
        pass


async def test_a_closed_loop_has_as_many_requests_as_clients() -> None:
    target = FakeTarget(fails=4)
    result = await run_load(target, Workload(clients=3, requests=10, adapters=2, max_tokens=5))
    assert (len(result.samples), target.most_running) == (10, 3)
    assert len(result.errors) == 3  # 0, 4 and 8
    assert result.wrong_adapter == 1
    assert result.tok_per_s * result.seconds == pytest.approx(5 * 7)
    assert [job.adapter for job in target.seen] == [0, 1] * 5
    assert all(len(sample.gaps_ms) == 4 for sample in result.answered)


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    target = FakeTarget()
    await run_load(target, Workload(rate=1e6, requests=30, max_tokens=50))
    assert target.most_running > 16


async def test_time_ends_it_too() -> None:
    result = await run_load(FakeTarget(), Workload(requests=None, seconds=0.05, max_tokens=2))
    assert result.samples


def test_the_same_seed_asks_the_same() -> None:
    workload = Workload(requests=50, adapters=8, spread="zipf")
    first, again = list(jobs(workload, 1000)), list(jobs(workload, 1000))
    assert first == again
    counts = Counter(job.adapter for job in jobs(Workload(requests=3000, adapters=8, spread="zipf"), 1000))
    assert counts[0] > 2 * counts[3] > 2 * counts[7] > 0
    assert {job.adapter for job in jobs(Workload(adapters=0), 1000)} == {None}


def test_the_document_says_what_scripts_rely_on() -> None:
    document = load_document(LoadResult("x", Workload(), 1.0, ()), {})
    assert {"tok_per_s", "ttft_ms_p50", "ttft_ms_p95", "itl_ms_p95", "errors", "wrong_adapter"} <= document.keys()
    assert document["wrong_adapter"] is None
    assert load_table(LoadResult("x", Workload(), 1.0, ())).rows[0][-1] == "not said"


async def test_the_engine_answers_under_the_adapters_asked_for(demo_base: Path, tmp_path: Path) -> None:
    paths = [write_adapter(tmp_path / f"{name}.gguf", demo_base, seed=seed).path for seed, name in enumerate("ab")]
    subjects = find_subjects(AdapterLibrary(demo_base), [str(path) for path in paths], None, ignore_progress)
    target = await EngineTarget.open(EngineConfig(demo_base, ctx=128), subjects, ignore_progress)
    try:
        workload = Workload(clients=4, requests=8, adapters=2, prompt_tokens=10, max_tokens=4)
        result = await run_load(target, workload)
        assert (result.errors, result.wrong_adapter) == ([], 0)
        assert result.tok_per_s > 0
    finally:
        await target.close()


# --- other servers


class Server:
    """A server of one fixed answer, which remembers what it was asked."""

    def __init__(self, lines: list[str], status: int = 200) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._body = "".join(f"{line}\n\n" for line in lines).encode()
        self._status = status

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        self.asked.append((head.split()[1], json.loads(await reader.readexactly(length))))
        writer.write(
            f"HTTP/1.1 {self._status} X\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n".encode()
            + self._body
        )
        await writer.drain()
        writer.close()


JOB = Job(0, 1, (5, 6, 7), 2)


async def test_llama_server_is_asked_with_every_adapter_named() -> None:
    lines = ['data: {"content": "a", "stop": false}', 'data: {"content": "", "stop": true, "tokens_predicted": 2}']
    server = Server(lines)
    async with server as url:
        target = HttpTarget(url, LlamaServer(3), 100)
        heard: list[int] = []
        answered = await target.answer(JOB, lambda: heard.append(1))
        await target.close()
    assert (answered.tokens, answered.wrong_adapter, len(heard)) == (2, None, 1)
    [(path, body)] = server.asked
    assert path == "/completion"
    assert body["prompt"] == [5, 6, 7]
    assert body["lora"] == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 1.0}, {"id": 2, "scale": 0.0}]


async def test_an_openai_server_is_asked_for_a_model() -> None:
    lines = [
        'data: {"choices": [{"text": "a"}]}',
        'data: {"choices": [{"text": "b"}]}',
        'data: {"choices": [], "usage": {"completion_tokens": 3}}',
        "data: [DONE]",
    ]
    server = Server(lines)
    async with server as url:
        target = HttpTarget(url, OpenAI(["legal", "medical"], "demo"), 100, api_key="k")
        heard: list[int] = []
        answered = await target.answer(JOB, lambda: heard.append(1))
        await target.close()
    assert (answered.tokens, len(heard)) == (3, 2)
    assert server.asked[0][1]["model"] == "medical"


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [(["overloaded"], 503, "503: overloaded"), (["data: nonsense"], 200, "something else")],
)
async def test_what_a_server_says_instead_is_an_error(lines: list[str], status: int, said: str) -> None:
    async with Server(lines, status) as url:
        target = HttpTarget(url, LlamaServer(2), 100)
        with pytest.raises(EdgeloraError, match=said):
            await target.answer(JOB, lambda: None)
        await target.close()


async def test_nobody_there_is_an_error() -> None:
    target = HttpTarget("http://127.0.0.1:9", LlamaServer(2), 100)
    result = await run_load(target, Workload(clients=1, requests=1))
    assert len(result.errors) == 1
    await target.close()
