"""An engine without a model: it counts words as tokens and answers with what a test told it to say."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError, EngineDiedError
from edgelora.types import (
    AdapterFile,
    AdapterLoaded,
    AdapterStatus,
    AttestedAdapter,
    BaseInfo,
    EngineDied,
    EngineEvent,
    EngineRestarted,
    EngineStats,
    Failed,
    Finished,
    FinishReason,
    LoadTimes,
    Prefilling,
    Request,
    RequestEvent,
    Selection,
    Started,
    Token,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BOS = 1
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def base_info(ctx: int = 512, chat_template: str | None = CHATML) -> BaseInfo:
    return BaseInfo(
        path=Path("demo.gguf"),
        name="Test base",
        fingerprint="f" * 64,
        arch="llama",
        n_params=6_000_000,
        quantization="Q8_0",
        ctx=ctx,
        ctx_train=ctx,
        n_vocab=4096,
        chat_template=chat_template,
        sampling_hints={},
        mode="pooled",
    )


@dataclass
class FakeEngine:
    """Implements EngineClient. ``gate`` holds back prefill and tokens while it is closed.

    ``close_after`` closes it by itself after so many tokens of an answer.
    """

    base: BaseInfo = field(default_factory=base_info)
    answers: dict[str, str] = field(default_factory=dict)  # adapter name, or "base" -> text
    load_errors: dict[str, EdgeloraError] = field(default_factory=dict)  # adapter name -> what load raises
    token_delay: float = 0.0
    close_after: int = 0
    adds_bos: bool = True
    requests: list[Request] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    loaded: dict[str, AdapterFile] = field(default_factory=dict)
    fail_next: EdgeloraError | None = None
    closed: bool = False
    prepared: int = 0

    def __post_init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self._events: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._dead: EdgeloraError | None = None
        self._kept: dict[Selection, tuple[int, ...]] = {}

    async def tokenize(self, text: str, *, parse_special: bool = True, add_special: bool = False) -> tuple[int, ...]:
        words = tuple(
            2 + zlib.crc32(word.encode()) % 50_000 for word in re.findall(r"<\|\w+\|>|\n|[^\s<]+|[^\S\n]+|<", text)
        )
        return (BOS, *words) if add_special and self.adds_bos else words

    async def load(self, adapter: AdapterFile) -> AdapterStatus:
        if self._dead:
            raise self._dead
        await self.gate.wait()
        if adapter.name in self.load_errors:
            raise self.load_errors[adapter.name]
        self.loaded[adapter.sha256] = adapter
        status = AdapterStatus(adapter.sha256, adapter.name, 8, 200_000, ("attn_q",), 0.03, (), 4.0)
        self._events.put_nowait(AdapterLoaded(status))
        return status

    async def evict(self, sha256: str) -> None:
        self.loaded.pop(sha256, None)

    async def pin(self, sha256: str, pinned: bool) -> None:
        pass

    async def stats(self) -> EngineStats:
        return EngineStats(
            0, 0, 0, 0, 0, 0, len(self.loaded), self.prepared, len(self.loaded), 0, LoadTimes(), LoadTimes(), 0.0
        )

    async def cancel(self, request: str) -> None:
        self.cancelled.add(request)

    async def generate(self, request: Request) -> AsyncIterator[RequestEvent]:
        self.requests.append(request)
        failure, self.fail_next = self._dead or self.fail_next, None
        if failure:
            yield Failed(request.id, failure)
            return
        made_by = self._attest(request.selection)
        reused = self._reused(request)
        started = time.perf_counter()
        yield Started(request.id, made_by, len(request.tokens), reused)
        to_compute = len(request.tokens) - reused
        for part in range(1, 5):
            if await self._held_or_cancelled(request):
                break
            yield Prefilling(request.id, to_compute * part // 4, to_compute)
        self._kept[request.selection] = request.tokens
        ttft = (time.perf_counter() - started) * 1000
        pieces = re.findall(r"\s*\S+|\s+", self._answer(made_by)) if request.sampling.max_tokens != 0 else []
        count = 0
        for piece in pieces:
            if await self._held_or_cancelled(request):
                break
            count += 1
            if count == self.close_after:
                self.gate.clear()
            yield Token(request.id, piece)
        if self._dead:
            yield Failed(request.id, self._dead)
            return
        reason: FinishReason = "cancelled" if request.id in self.cancelled else "stop" if count else "length"
        yield Finished(request.id, reason, made_by, len(request.tokens), reused, count, ttft, 123.4)

    async def events(self) -> AsyncIterator[EngineEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        self.closed = True
        self.gate.set()
        self._events.put_nowait(None)

    def die(self, *, restarting: bool = False) -> None:
        """End as a crashed engine process does, for good unless it is ``restarting``."""
        self._dead = EngineDiedError("the engine process ended (signal 6)", "Its log says more.")
        self._events.put_nowait(EngineDied(self._dead, restarting))
        self.gate.set()

    def come_back(self) -> None:
        """Be there again, as a new engine process that knows what the old one knew."""
        self._dead = None
        self._events.put_nowait(EngineRestarted())

    async def _held_or_cancelled(self, request: Request) -> bool:
        while not self.gate.is_set() and request.id not in self.cancelled:
            await asyncio.sleep(0.002)
        await asyncio.sleep(self.token_delay)
        if self.closed:
            self.cancelled.add(request.id)
        return request.id in self.cancelled or self._dead is not None

    def _attest(self, selection: Selection) -> tuple[AttestedAdapter, ...]:
        return tuple(
            AttestedAdapter(self.loaded[member.adapter].name, member.adapter, member.scale)
            for member in selection.members
        )

    def _reused(self, request: Request) -> int:
        kept = self._kept.get(request.selection, ())
        same = 0
        while same < min(len(kept), len(request.tokens) - 1) and kept[same] == request.tokens[same]:
            same += 1
        return same

    def _answer(self, made_by: tuple[AttestedAdapter, ...]) -> str:
        names = "+".join(adapter.name for adapter in made_by) or "base"
        return self.answers.get(names, f"An answer from {names}.")
