"""Clients at random on adapters that are rolled out meanwhile, and what becomes of their requests."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx2
from support.adapters import write_adapter

from edgelora.adapters.adding import Source, add
from edgelora.adapters.store.store import AdapterStore
from edgelora.errors import AdapterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASK: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 12}
MOST_VERSIONS = 6
BROKEN_OFF = 599
"""What stands for the status of a stream that ends with an error."""
LEAVES = 0.2
"""The share of clients that do not wait for the end of their answer."""
Answer = tuple[str, dict[str, Any]]


class Beside:
    """Does ``_run`` in a thread, from entering until :meth:`end`, which leaving does as well."""

    def __init__(self) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Have it end, and wait until it has."""
        self._ends.set()
        self._thread.join(60)

    def _run(self) -> None:
        raise NotImplementedError


class Rollouts(Beside):
    """Adds, pins, rolls back and removes versions of ``names``, a change every ``pause`` seconds, in a thread."""

    def __init__(self, store: AdapterStore, base: Path, folder: Path, names: list[str], *, pause: float) -> None:
        super().__init__()
        self._store, self._base, self._folder, self._names, self._pause = store, base, folder, names, pause
        self._rng, self._seeds = random.Random(3), iter(range(1000, 10_000))
        self.made: Counter[str] = Counter()
        self.contents: dict[str, set[str]] = {name: set() for name in names}
        """The content hashes that each name has ever meant."""

    def __enter__(self) -> Self:
        for name in self._names:
            self._add(name)
        return super().__enter__()

    def _run(self) -> None:
        while not self._ends.wait(self._rng.uniform(0, 2 * self._pause)):
            change = self._rng.choice([self._add, self._pin, self._roll_back, self._remove])
            with suppress(AdapterError):  # nothing to roll back to, or in use
                change(self._rng.choice(self._names))
                self.made[change.__name__.removeprefix("_")] += 1

    def _add(self, name: str) -> None:
        if len(self._versions(name)) >= MOST_VERSIONS:
            return
        seed = next(self._seeds)
        path = self._folder / f"{seed}.gguf"
        write_adapter(path, self._base, rank=8, strength=6.0, seed=seed, dtype="float32")
        added, _ = add(self._store, name, Source((str(path),), self._base))
        self.contents[name].add(added.sha256)
        path.unlink()

    def _pin(self, name: str) -> None:
        self._store.pin(f"{name}@{self._rng.choice(self._versions(name))}")

    def _roll_back(self, name: str) -> None:
        self._store.rollback(name)

    def _remove(self, name: str) -> None:
        current = self._store.read().adapters[name].current
        others = [number for number in self._versions(name) if number != current]
        self._store.remove(f"{name}@{self._rng.choice(others or [0])}")

    def _versions(self, name: str) -> list[int]:
        adapter = self._store.read().adapters.get(name)
        return sorted(adapter.versions) if adapter else []


@dataclass
class Crowd:
    """``clients`` who ask ``url`` for ``models`` at random until ``seconds`` are over.

    ``answers`` are the texts by the selection that each was asked for and attested to be made by, with content hashes.
    """

    url: str
    models: list[str]
    seconds: float
    ends: Counter[str] = field(default_factory=Counter)
    answers: dict[tuple[str, tuple[tuple[str, float], ...]], Counter[str]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)

    async def run(self, clients: int) -> None:
        """All of them."""
        over = time.monotonic() + self.seconds
        await asyncio.gather(*(self._client(random.Random(i), over) for i in range(clients)))

    async def _client(self, rng: random.Random, over: float) -> None:
        while time.monotonic() < over:
            async with httpx2.AsyncClient(base_url=self.url, timeout=900, verify=False) as client:
                for _ in range(rng.randrange(1, 20)):  # a connection for some of its requests
                    if time.monotonic() < over:
                        await self._ask(client, rng)

    async def _ask(self, client: httpx2.AsyncClient, rng: random.Random) -> None:
        asks = rng.choice([self._stream, self._stream, self._whole, self._llama])
        model = rng.choice(self.models)
        leaves_after = rng.uniform(0, 0.5) if rng.random() < LEAVES else None
        try:
            async with asyncio.timeout(leaves_after):
                status, text, made = await asks(client, model)
        except TimeoutError:
            self.ends["left"] += 1
            return
        except httpx2.HTTPError as error:
            self._note_odd(type(error).__name__, str(error))
            return
        if status != 200:
            self._note_odd(str(status), text)
            return
        self.ends["answered"] += 1
        key = tuple(sorted((one["sha256"], one["scale"]) for one in made["adapters"]))
        self.answers.setdefault((model, key), Counter())[text] += 1

    def _note_odd(self, kind: str, text: str) -> None:
        self.ends[kind] += 1
        self.odd.append(f"{kind}: {text}")

    async def _whole(self, client: httpx2.AsyncClient, model: str) -> tuple[int, str, dict[str, Any]]:
        response = await client.post("/v1/completions", json={**ASK, "model": model})
        if response.status_code != 200:
            return response.status_code, response.text, {}
        document = response.json()
        return 200, document["choices"][0]["text"], document["edgelora"]

    async def _stream(self, client: httpx2.AsyncClient, model: str) -> tuple[int, str, dict[str, Any]]:
        return await self._streamed(client, "/v1/completions", {**ASK, "model": model})

    async def _llama(self, client: httpx2.AsyncClient, model: str) -> tuple[int, str, dict[str, Any]]:
        body = {"prompt": ASK["prompt"], "n_predict": ASK["max_tokens"], "model": model}
        return await self._streamed(client, "/completion", body)

    async def _streamed(
        self, client: httpx2.AsyncClient, path: str, body: dict[str, Any]
    ) -> tuple[int, str, dict[str, Any]]:
        async with client.stream("POST", path, json={**body, "stream": True}) as response:
            if response.status_code != 200:
                return response.status_code, (await response.aread()).decode(), {}
            text, made = "", dict[str, Any]()
            async for document in _documents(response):
                if "error" in document:
                    return BROKEN_OFF, json.dumps(document), {}
                text += document["content"] if path == "/completion" else document["choices"][0]["text"]
                made = document.get("edgelora", made)
        return 200, text, made


async def _documents(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))
