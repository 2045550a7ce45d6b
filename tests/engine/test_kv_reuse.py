"""Conversations parked, restored and shared: answers are token for token those of an engine that knows nothing yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, run, selection, texts

from edgelora.engine.core import EngineCore
from edgelora.types import BASE, AdapterFile, EngineConfig, Finished, Prefilling, Request, SamplingParams, Selection

PROMPT = list(range(400, 460))
TURNS = ([7, 8, 9], [10, 11, 12], [13, 14, 15])
BYTES = 60 * 4 * 2 * 4 * 128  # PROMPT in F32 on the demo base: K and V of four layers, 128 wide


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, f32_base: Path) -> list[AdapterFile]:
    folder = tmp_path_factory.mktemp("adapters")
    return [write_adapter(folder / f"{seed}.gguf", f32_base, rank=8, seed=seed, dtype="float32") for seed in (1, 2)]


@pytest.fixture(scope="module")
def selections(adapters: list[AdapterFile]) -> dict[str, Selection]:
    return {"A": selection((adapters[0], 1.0)), "B": selection((adapters[1], 0.7)), "0": BASE}


@pytest.fixture(scope="module")
def cold(f32_base: Path, adapters: list[AdapterFile], selections: dict[str, Selection]) -> dict[tuple[str, int], str]:
    """The answer under each selection to each turn, by an engine that has read nothing else."""
    answers = {}
    for name, under in selections.items():
        for turn in range(len(TURNS)):
            with opened(one_place(f32_base), adapters) as core:
                answers[name, turn] = answer(core, turn, under)
    assert len({answers[name, 0] for name in selections}) == 3, "the adapters must matter"
    return answers


def answer(core: EngineCore, turn: int, under: Selection) -> str:
    return run(core, greedy("x", prompt_of(turn), under, max_tokens=6))["x"]


def one_place(base: Path, **changes: object) -> EngineConfig:
    """Every swap needs the place of the selection before."""
    return exact_config(base, max_sequences=1, **changes)


def prompt_of(turn: int) -> list[int]:
    return [*PROMPT, *(token for words in TURNS[: turn + 1] for token in words)]


@pytest.mark.parametrize("memory", ["plenty", "one", "none", "folder"])
def test_every_order_of_selections_gives_the_answers_of_cold_engines(
    memory: str,
    f32_base: Path,
    tmp_path: Path,
    adapters: list[AdapterFile],
    selections: dict[str, Selection],
    cold: dict[tuple[str, int], str],
) -> None:
    parked_bytes = {"plenty": 2**24, "one": 3 * BYTES // 2, "none": 0, "folder": 0}[memory]
    folder = tmp_path / "parked" if memory == "folder" else None
    with opened(one_place(f32_base, parked_bytes=parked_bytes, parked_folder=folder), adapters) as core:
        for order in ("AB0", "BAA0", "0ABA"):
            for turn in (0, 1, 2, 0):  # the last one goes back: its conversation is a part of what is kept
                for name in order:
                    assert answer(core, turn, selections[name]) == cold[name, turn], (order, turn, name)
        stats = core.stats().kv
    assert stats.parked_bytes <= parked_bytes
    assert (stats.restored > 10) == (memory in ("plenty", "folder"))


def test_a_restarted_engine_finds_what_the_former_one_parked_on_disk(
    f32_base: Path, tmp_path: Path, adapters: list[AdapterFile], selections: dict[str, Selection]
) -> None:
    config = one_place(f32_base, parked_bytes=0, parked_folder=tmp_path / "parked")
    asked = greedy("x", PROMPT, selections["A"])
    with opened(config, adapters) as core:
        expected = run(core, asked)
        run(core, greedy("y", PROMPT, BASE))
    with opened(config, adapters) as core:
        assert run(core, greedy("x", PROMPT, selections["B"])) != expected
        assert core.stats().kv.restored == 0
        assert run(core, asked) == expected
        assert core.stats().kv.restored == 1


def test_requests_that_begin_alike_compute_it_once(
    f32_base: Path, adapters: list[AdapterFile], selections: dict[str, Selection]
) -> None:
    """Four at once under each of two selections, and one that comes later, share a prompt and then differ."""
    long = PROMPT * 3
    requests = [
        replace(greedy(f"{name}{end}", [*long, *([20 + end] * 3)], selections[name]), client=f"{end}")
        for name in "AB"
        for end in range(4)
    ]
    late = greedy("late", [*long, 99], selections["A"])
    alone = {}
    for request in (*requests, late):
        with opened(exact_config(f32_base), adapters) as core:
            alone |= run(core, request)
    with opened(exact_config(f32_base), adapters) as core:
        for request in requests:
            core.submit(request)
        events = [event for _ in range(8) for event in core.step()]
        core.submit(late)
        events += drain(core)
        assert texts(events) == alone
        assert len({*alone.values()}) > 4
        computed = sum(e.prompt_tokens - e.reused_tokens for e in events if isinstance(e, Finished))
    assert computed <= 2 * len(long) + 9 * 4, "and not nine times"


def test_a_prefill_that_is_overtaken_leaves_what_it_has_read(
    f32_base: Path, adapters: list[AdapterFile], selections: dict[str, Selection]
) -> None:
    """What is read ahead in the background is there for the question, done or not."""
    long = PROMPT * 3
    ahead = Request("ahead", tuple(long), selections["A"], SamplingParams(max_tokens=0), background=True)
    question = greedy("question", [*long, 5], selections["A"])
    with opened(exact_config(f32_base), adapters) as core:
        expected = run(core, question)
    for steps in (0, 1, 10):
        with opened(exact_config(f32_base), adapters) as core:
            core.submit(ahead)
            for _ in range(steps):
                core.step()
            core.submit(question)
            events = drain(core)
            assert {"question": texts(events)["question"]} == expected
            [finished] = [e for e in events if isinstance(e, Finished) and e.request == "question"]
            assert finished.reused_tokens >= 100 or not steps


def test_values_that_are_no_numbers_are_not_kept_parked(f32_base: Path, tmp_path: Path) -> None:
    broken = write_adapter(tmp_path / "broken.gguf", f32_base, rank=4, dtype="float32")
    with opened(one_place(f32_base), [broken]) as core:
        run(core, greedy("x", PROMPT, BASE))
        run(core, greedy("y", PROMPT, selection((broken, 1.0))))
        assert parked(core) > 0
        core._purge()
        assert parked(core) == 0


def test_a_prompt_that_must_be_read_again_counts_from_its_beginning(f32_base: Path) -> None:
    with opened(exact_config(f32_base, batch=32, max_sequences=4), []) as core:
        run(core, greedy("x", PROMPT, BASE))
        core.submit(greedy("y", [*PROMPT, *range(500, 580)], BASE))
        core.step()
        core._purge()
        events = drain(core)
        assert all(0 < e.done <= e.total for e in events if isinstance(e, Prefilling))
        [finished] = [e for e in events if isinstance(e, Finished)]
        assert finished.reused_tokens == 0


def parked(core: EngineCore) -> int:
    return core.stats().kv.parked_bytes
