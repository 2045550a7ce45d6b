"""Whatever runs beside it, a greedy generation is token for token what it is alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, run, selection, texts

from edgelora.engine.core import EngineCore
from edgelora.types import BASE, AdapterFile, Event, Request, Selection

N_GENERATIONS = 200
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


def test_generations_are_what_they_are_alone(f32_base: Path, adapters: list[AdapterFile]) -> None:
    rng = random.Random(7)
    requests = [
        greedy(
            f"r{i}",
            [rng.randrange(300, 2000) for _ in range(rng.randrange(3, 24))],
            random_selection(rng, adapters),
            rng.randrange(1, 12),
        )
        for i in range(N_GENERATIONS)
    ]
    with opened(exact_config(f32_base), adapters) as core:
        alone = {request.id: run(core, request)[request.id] for request in requests}
    with opened(exact_config(f32_base, max_sequences=6)) as core:
        for adapter in adapters:  # the engine knows them all; some start evicted
            core.load(adapter)
        crowded = texts(run_crowded(core, requests, adapters, rng))
    assert crowded == alone
    assert len(set(alone.values())) > N_GENERATIONS / 2


def run_crowded(
    core: EngineCore, requests: list[Request], adapters: list[AdapterFile], rng: random.Random
) -> list[Event]:
    """Submit at random moments, cancel strangers, evict and load adapters all the while."""
    events: list[Event] = []
    waiting = list(requests)
    strangers = 0
    evicted = 0
    while waiting or core.busy:
        for _ in range(min(len(waiting), rng.choice((0, 0, 1, 2)))):
            core.submit(waiting.pop())
        if rng.random() < 0.1:
            strangers += 1
            core.submit(greedy(f"stranger{strangers}", [1, 2, 3], random_selection(rng, adapters), 30))
        if strangers and rng.random() < 0.1:
            core.cancel(f"stranger{strangers}")
        if rng.random() < 0.2:
            evicted += core.evict(rng.choice(adapters).sha256)
        if rng.random() < 0.1:
            core.load(rng.choice(adapters))
        events += core.step()
    assert strangers > 5
    assert evicted > 5
    return [event for event in events if not getattr(event, "request", "").startswith("stranger")]


def test_orders_do_not_matter(f32_base: Path, adapters: list[AdapterFile]) -> None:
    """The same prompt under A, B, the base and A again equals cold runs, in every order, with KV reuse on."""
    prompt = list(range(400, 430))
    first, second = selection((adapters[0], 1.0)), selection((adapters[1], 1.0))
    cold = {}
    for under in (first, second, BASE):
        with opened(exact_config(f32_base), adapters[:2]) as core:
            cold[under] = run(core, greedy("cold", prompt, under))["cold"]
    assert len(set(cold.values())) == 3
    with opened(exact_config(f32_base), adapters[:2]) as core:
        for order in ([first, second, BASE, first], [second, first, first, BASE], [BASE, first, second, BASE]):
            for i, under in enumerate(order):
                assert run(core, greedy(f"warm{i}", prompt, under))[f"warm{i}"] == cold[under]


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
