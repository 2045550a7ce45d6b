"""Other servers as targets: llama-server, which takes adapters by number, and whatever speaks OpenAI's completions.

Both stream server-sent events and take prompts as token ids. Sources: tools/server/README.md of llama.cpp
(``/completion``, ``/lora-adapters``); the reference of OpenAI's ``/v1/completions``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import httpx2

from edgelora.bench.load.target import Answered
from edgelora.errors import EdgeloraError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from edgelora.bench.load.workload import Job

TIMEOUT_S = 600.0
"""Seconds without a byte after which an answer counts as failed."""

_DATA = "data:"


class Dialect(Protocol):
    """How a kind of server is asked, and what its events mean."""

    path: str

    def body(self, job: Job) -> dict[str, Any]:
        """The request, to be sent as JSON."""

    def n_tokens(self, event: dict[str, Any]) -> int | None:
        """Tokens of the whole answer, in the event that tells them."""

    def has_text(self, event: dict[str, Any]) -> bool:
        """Does the event bring more of the answer?"""


class LlamaServer:
    """llama-server, started with one ``--lora`` for each adapter, in the order of the adapters."""

    path = "/completion"

    def __init__(self, adapters: int) -> None:
        self._adapters = adapters

    def body(self, job: Job) -> dict[str, Any]:
        """All adapters are named, since those that are not keep the scale that the server was started with."""
        scales = [{"id": i, "scale": float(i == job.adapter)} for i in range(self._adapters)]
        return {
            "prompt": list(job.tokens),
            "n_predict": job.max_tokens,
            "temperature": 0.0,
            "stream": True,
            "lora": scales,
        }

    def n_tokens(self, event: dict[str, Any]) -> int | None:
        """The last event has it."""
        return int(event["tokens_predicted"]) if event.get("stop") else None

    def has_text(self, event: dict[str, Any]) -> bool:
        """Every event but the last."""
        return bool(event.get("content"))


class OpenAI:
    """``/v1/completions``; ``models`` are what the adapters are called there, the base's name last."""

    path = "/v1/completions"

    def __init__(self, models: Sequence[str], base: str) -> None:
        self._models, self._base = models, base

    def body(self, job: Job) -> dict[str, Any]:
        """The adapter is the model."""
        return {
            "model": self._base if job.adapter is None else self._models[job.adapter],
            "prompt": list(job.tokens),
            "max_tokens": job.max_tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def n_tokens(self, event: dict[str, Any]) -> int | None:
        """The event with the usage, which was asked for."""
        usage = event.get("usage")
        return int(usage["completion_tokens"]) if usage else None

    def has_text(self, event: dict[str, Any]) -> bool:
        """Any choice with text."""
        return any(choice.get("text") for choice in event.get("choices", ()))


class HttpTarget:
    """A server at ``url``."""

    def __init__(self, url: str, dialect: Dialect, n_vocab: int, *, api_key: str = "") -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, limits=limits)
        self._dialect = dialect
        self.name = url
        self.n_vocab = n_vocab

    async def answer(self, job: Job, heard: Callable[[], None]) -> Answered:
        """Ask the server. It does not say what made the answer."""
        tokens: int | None = None
        pieces = 0
        try:
            async for event in self._events(self._dialect.body(job)):
                if self._dialect.has_text(event):
                    pieces += 1
                    heard()
                found = self._dialect.n_tokens(event)
                tokens = tokens if found is None else found
        except httpx2.InvalidURL as error:
            raise UsageError(f"{self.name}: {error}", "Give an address such as http://127.0.0.1:8080") from error
        except httpx2.HTTPError as error:
            raise EdgeloraError(f"{self.name}: {error or type(error).__name__}", "Is the server running?") from error
        except (ValueError, KeyError, TypeError) as error:
            raise EdgeloraError(f"{self.name} sent something else than was expected: {error}") from error
        return Answered(pieces if tokens is None else tokens)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        async with self._http.stream("POST", self._dialect.path, json=body) as response:
            if response.is_error:
                said = (await response.aread()).decode("utf-8", "replace")[:300]
                raise EdgeloraError(f"{self.name} answered {response.status_code}: {said}")
            async for line in response.aiter_lines():
                data = line.removeprefix(_DATA).strip()
                if line.startswith(_DATA) and data != "[DONE]":
                    yield json.loads(data)
