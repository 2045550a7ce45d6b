"""Whatever runs beside it, a greedy generation is token for token what it is alone."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, pool_bytes, run, selection, texts

from edgelora.engine.core import EngineCore
from edgelora.errors import MemoryLimitError
from edgelora.types import BASE, AdapterFile, Event, Request, Selection

N_ADAPTERS = 8


@pytest.fixture
def adapters(tmp_path: Path, f32_base: Path) -> list[AdapterFile]:
    targets = [("attn_q", "attn_v"), ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up"), ("ffn_down", "attn_v")]
    return [
        write_adapter(
            tmp_path / f"a{i}.gguf", f32_base, rank=(4, 8, 16)[i % 3], seed=i, targets=targets[i % 3], dtype="float32"
        )
        for i in range(N_ADAPTERS)
    ]


def random_selection(rng: random.Random, adapters: list[AdapterFile]) -> Selection:
    chosen = rng.sample(adapters, rng.choice((0, 1, 1, 1, 2)))
    return selection(*((adapter, rng.choice((1.0, 0.7, 0.5, 1.5))) for adapter in chosen)) if chosen else BASE


@pytest.mark.parametrize(
    "n_generations", [40, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])], ids=["plain", "full"]
)
def test_generations_are_what_they_are_alone(f32_base: Path, adapters: list[AdapterFile], n_generations: int) -> None:
    rng = random.Random(n_generations)
    requests = [a_request(f"r{i}", rng, adapters) for i in range(n_generations)]
    with opened(exact_config(f32_base), adapters) as core:
        alone = {}
        for request in requests:
            core.forget_conversations()
            alone[request.id] = run(core, request)[request.id]
    room = pool_bytes(f32_base, 48, ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"))
    with opened(exact_config(f32_base, max_sequences=6, adapter_bytes=room), adapters) as core:
        crowd = Crowd(core, list(adapters), rng)
        crowded = crowd.run(requests)
        assert core.residency.evictions > len(adapters)
        assert core.residency.n_used == 0
    assert crowded == alone
    assert len(set(alone.values())) > n_generations / 2
    assert min(crowd.counts.values()) >= 2, crowd.counts


def a_request(id_: str, rng: random.Random, adapters: list[AdapterFile]) -> Request:
    """A conversation that others may have begun, under any selection; some prompts need several steps."""
    begins = [rng.randrange(300, 2000)] * rng.choice((0, 3)) + list(range(400, 400 + rng.choice((0, 20, 150))))
    prompt = [*begins, *(rng.randrange(300, 2000) for _ in range(rng.randrange(1, 20)))]
    return greedy(id_, prompt, random_selection(rng, adapters), rng.randrange(1, 12))


class Crowd:
    """What goes on around requests: strangers, cancels, deadlines, warming ahead, evictions, re-registrations."""

    def __init__(self, core: EngineCore, adapters: list[AdapterFile], rng: random.Random) -> None:
        self._core, self._adapters, self._rng = core, adapters, rng
        self._n_strangers = 0
        happenings = (self._submit, self._hurry, self._cancel, self._warm, self._evict, self._register, self._park)
        self._happenings = happenings
        self.counts = Counter({happening.__name__: 0 for happening in happenings})

    def run(self, requests: list[Request]) -> dict[str, str]:
        """The texts of ``requests``, submitted at random moments by a few clients."""
        events: list[Event] = []
        waiting = list(requests)
        while waiting or self._core.busy:
            for _ in range(min(len(waiting), self._rng.choice((0, 0, 1, 2)))):
                self._core.submit(replace(waiting.pop(), client=self._rng.choice(("", "a", "b"))))
            if waiting and self._rng.random() < 0.8:
                happening = self._rng.choice(self._happenings)
                self.counts[happening.__name__] += happening(waiting[-1])
            events += self._core.step()
        return texts(event for event in events if not getattr(event, "request", "").startswith("stranger"))

    def _stranger(self) -> Request:
        self._n_strangers += 1
        return replace(a_request(f"stranger{self._n_strangers}", self._rng, self._adapters), client="stranger")

    def _submit(self, upcoming: Request) -> bool:
        self._core.submit(self._stranger())
        return True

    def _hurry(self, upcoming: Request) -> bool:
        self._core.submit(replace(self._stranger(), deadline_s=self._rng.choice((0.0, 0.01))))
        return True

    def _warm(self, upcoming: Request) -> bool:
        """Compute in the background what will be asked for next."""
        sampling = replace(upcoming.sampling, max_tokens=0)
        self._core.submit(replace(upcoming, id=self._stranger().id, sampling=sampling, background=True))
        return True

    def _cancel(self, upcoming: Request) -> bool:
        strangers = [s for s in self._core._scheduler.sequences if s.request.id.startswith("stranger")]
        for stranger in strangers[:1]:
            self._core.cancel(stranger.request.id)
        return bool(strangers)

    def _evict(self, upcoming: Request) -> bool:
        return any(self._core.evict(file.sha256) for file in self._rng.sample(self._adapters, N_ADAPTERS))

    def _register(self, upcoming: Request) -> bool:
        """The same file in another place, under another name."""
        i = self._rng.randrange(len(self._adapters))
        path = self._adapters[i].path
        copy = path.with_name(f"{path.stem}x.gguf")
        copy.write_bytes(path.read_bytes())
        self._adapters[i] = replace(self._adapters[i], name=copy.stem, path=copy)
        with suppress(MemoryLimitError):  # others use the room
            self._core.try_load(self._adapters[i])
        return True

    def _park(self, upcoming: Request) -> bool:
        self._core.park_conversations()
        return True


def test_orders_do_not_matter(f32_base: Path, adapters: list[AdapterFile]) -> None:
    """The same prompts under A, B, the base and A again equal cold runs, in every order, with all caches on."""
    prompts = [list(range(400, 430)), list(range(400, 560))]
    first, second = selection((adapters[0], 1.0)), selection((adapters[1], 1.0))
    cold = {}
    for under in (first, second, BASE):
        with opened(exact_config(f32_base), adapters[:2]) as core:
            for i, prompt in enumerate(prompts):
                core.forget_conversations()
                cold[i, under] = run(core, greedy("cold", prompt, under))["cold"]
    assert len(set(cold.values())) == 6
    orders = ([first, second, BASE, first], [first, second, second, first], [second, first, first, BASE, second])
    with opened(exact_config(f32_base), adapters[:2]) as core:
        for number, order in enumerate((*orders, [BASE, first, second, BASE])):
            for step, under in enumerate(order):
                for i, prompt in enumerate(prompts):
                    assert run(core, greedy(f"warm{step}", prompt, under))[f"warm{step}"] == cold[i, under]
                if number % 2:
                    core.park_conversations()
        stats = core.stats()
    assert stats.kv.hits > 20


def test_rows_that_held_another_adapter_leave_no_trace(f32_base: Path, tmp_path: Path) -> None:
    """An adapter of few targets that takes over the rows of one with many must not inherit its factors."""
    wide = write_adapter(tmp_path / "wide.gguf", f32_base, rank=16, targets=("attn_q", "attn_v", "ffn_up", "ffn_down"))
    narrow = write_adapter(tmp_path / "narrow.gguf", f32_base, rank=16, seed=1, targets=("attn_q",))
    keeper = write_adapter(tmp_path / "keeper.gguf", f32_base, rank=16, seed=2, targets=("attn_q",))
    prompt = list(range(500, 520))
    with opened(exact_config(f32_base), [narrow]) as core:
        expected = run(core, greedy("x", prompt, selection((narrow, 1.0))))
    with opened(exact_config(f32_base), [keeper, wide]) as core:
        assert core.evict(wide.sha256)
        core.load(narrow)
        assert run(core, greedy("x", prompt, selection((narrow, 1.0)))) == expected


def test_exclusive_mode_gives_the_same_answers(f32_base: Path, adapters: list[AdapterFile]) -> None:
    prompts = [list(range(300 + 40 * i, 312 + 40 * i)) for i in range(6)]
    selections = [BASE, *(selection((adapter, 0.7)) for adapter in adapters[:4])]
    selections.append(selection((adapters[0], 0.5), (adapters[1], 0.5)))
    requests = [
        greedy(f"r{i}", prompt, under) for i, (prompt, under) in enumerate(zip(prompts, selections, strict=True))
    ]
    answers = []
    for exclusive in (False, True):
        with opened(exact_config(f32_base, exclusive=exclusive), adapters) as core:
            assert core.base.mode == ("exclusive" if exclusive else "pooled")
            for request in requests:
                core.submit(request)
            answers.append(texts(drain(core)))
    assert answers[0] == answers[1]
    assert len(set(answers[0].values())) == len(requests)
