"""Many clients on many adapters at once, some of whom leave; versions that are rolled out meanwhile."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from support.adapters import write_adapter
from support.engines import exact_config, pool_bytes

from edgelora.adapters.adding import Source, add
from edgelora.adapters.store.store import AdapterStore
from tests.server.serving import NEVER_ENDS, Http, local, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.server.running import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

N_ADAPTERS = 8
ASK: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 12}


@pytest.fixture(scope="module")
def names(folder: Path, f32_base: Path) -> list[str]:
    made = [f"tenant{i}" for i in range(N_ADAPTERS)]
    for seed, name in enumerate(made, 30):
        write_adapter(folder / f"{name}.gguf", f32_base, rank=8, strength=6.0, seed=seed, dtype="float32")
    return made


@pytest.fixture(scope="module")
def server(f32_base: Path, names: list[str]) -> Iterator[Server]:
    """A pool that holds four of the eight."""
    config = replace(exact_config(f32_base), ctx=512, max_sequences=8, adapter_bytes=pool_bytes(f32_base, 32))
    with serving(config, local()) as server:
        yield server


@dataclass
class Crowd:
    """Clients that ask at random, and what became of it. ``alone`` is what each selection answers by itself."""

    url: str
    alone: dict[str, str]
    rng: random.Random
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def run(self, clients: int, requests: int) -> None:
        await asyncio.gather(*(self._client(random.Random(i), requests) for i in range(clients)))

    async def _client(self, rng: random.Random, requests: int) -> None:
        async with httpx2.AsyncClient(base_url=self.url, timeout=300) as client:
            for _ in range(requests):
                model = rng.choice(sorted(self.alone))
                self.ends[await self._ask(client, model, leaves=rng.random() < 0.25)] += 1

    async def _ask(self, client: httpx2.AsyncClient, model: str, *, leaves: bool) -> str:
        body = {**ASK, "model": model, "stream": True}
        async with client.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != 200:
                return str(response.status_code)
            text, made = "", None
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                document = json.loads(line.removeprefix("data: "))
                text += document["choices"][0]["text"]
                made = document.get("edgelora", made)
                if leaves:
                    return "left"
        if made is None or made["selection"] != model or text != self.alone[model]:
            self.wrong.append(f"{model}: {text!r}, made by {made}")
        return "done"


@pytest.mark.parametrize(
    ("clients", "requests"),
    [(6, 2), (64, 40)],
    ids=["few", "many"],
)
async def test_everybody_gets_their_own(
    server: Server, names: list[str], folder: Path, clients: int, requests: int
) -> None:
    http = Http(server.address)
    models = ["base", *names, f"{names[0]}:0.5", f"{names[1]}:0.5+{names[2]}:-0.25"]
    alone = {model: http.post("/v1/completions", **ASK, model=model)["choices"][0]["text"] for model in models}
    assert len(set(alone.values())) == len(models)
    crowd = Crowd(server.address, alone, random.Random(1))
    await crowd.run(clients, requests)
    assert not crowd.wrong, crowd.wrong[:3]
    assert set(crowd.ends) <= {"done", "left", "429"}
    assert crowd.ends["done"] > clients * requests / 2
    until(lambda: not server.host.running)
    until(lambda: "\nedgelora_requests_running 0\n" in http.client.get("/metrics").text)
    assert server.host.metrics.evictions
    http.client.close()


def test_a_version_that_is_rolled_out_does_not_touch_running_answers(
    server: Server, folder: Path, f32_base: Path, tmp_path: Path
) -> None:
    store = AdapterStore(folder)
    http = Http(server.address)

    def roll_out(seed: int) -> None:
        made = write_adapter(tmp_path / f"{seed}.gguf", f32_base, rank=8, strength=6.0, seed=seed, dtype="float32")
        add(store, "rolled", Source((str(made.path),), f32_base))

    roll_out(50)
    until(lambda: version(http) == 1)
    body = {**ASK, "model": "rolled", "max_tokens": 300, "logit_bias": NEVER_ENDS}
    alone = http.post("/v1/completions", **body)
    with http.client.stream("POST", "/v1/completions", json={**body, "stream": True}) as response:
        lines = (line for line in response.iter_lines() if line.startswith("data: {"))
        documents = [json.loads(next(lines).removeprefix("data: "))]
        roll_out(51)
        with httpx2.Client(base_url=server.address, timeout=100) as other:
            until(lambda: selection(other) == "rolled@2")
        documents += [json.loads(line.removeprefix("data: ")) for line in lines]
    assert documents[-1]["edgelora"]["selection"] == "rolled@1"
    assert "".join(one["choices"][0]["text"] for one in documents) == alone["choices"][0]["text"]
    store.rollback("rolled")
    until(lambda: version(http) == 1)
    assert http.post("/v1/completions", **body)["choices"] == alone["choices"]
    assert http.post("/v1/completions", **ASK, model="rolled@2")["edgelora"]["selection"] == "rolled@2"
    http.client.close()


def version(http: Http) -> int | None:
    return next((one["version"] for one in http.get("/v1/models")["data"] if one["id"] == "rolled"), None)


def selection(client: httpx2.Client) -> str:
    made: str = client.post("/v1/completions", json={**ASK, "model": "rolled"}).json()["edgelora"]["selection"]
    return made
