from __future__ import annotations

import json
import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

from edgelora.adapters.library import AdapterLibrary
from edgelora.bench.document import swap_document
from edgelora.bench.native import NativeRunner
from edgelora.bench.pooled import run, step
from edgelora.bench.samples import median, percentile
from edgelora.bench.steps import alternating, interleave
from edgelora.bench.subject import find_subjects
from edgelora.bench.swap import SwapBench, SwapResult
from edgelora.bench.tables import markdown, remarks, swap_tables
from edgelora.bench.workloads import random_tokens
from edgelora.engine.core import EngineCore
from edgelora.errors import ContextOverflowError, UsageError
from edgelora.types import BASE, EngineConfig, Member, Selection, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgelora.types import AdapterFile

REQUIRED = {
    "first_token_after_swap_ms", "swap_us_p50", "swap_us_p95", "step_ms_same", "step_ms_after_swap",
    "native_swap_us_p50", "native_swap_us_p95", "native_step_ms_same", "native_step_ms_after_swap",
    "cold_load_ms", "model_reload_ms", "base_step_ms", "adapter_overhead_ratio",
}  # fmt: skip


@pytest.fixture(scope="module")
def adapters(demo_base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[AdapterFile]:
    folder = tmp_path_factory.mktemp("adapters")
    return [
        write_adapter(folder / f"{name}.gguf", demo_base, seed=seed, strength=6.0) for seed, name in enumerate("ab")
    ]


@pytest.fixture
def config(demo_base: Path) -> EngineConfig:
    return EngineConfig(demo_base, ctx=512, threads=1)


@pytest.fixture
def core(config: EngineConfig, adapters: list[AdapterFile]) -> Iterator[EngineCore]:
    core = EngineCore(config)
    for adapter in adapters:
        core.load(adapter)
    yield core
    core.close()


@pytest.fixture(scope="module")
def result(demo_base: Path, adapters: list[AdapterFile], tmp_path_factory: pytest.TempPathFactory) -> SwapResult:
    empty = tmp_path_factory.mktemp("empty")
    library = AdapterLibrary(demo_base, folder=empty, demo=empty)
    a, b = adapters
    subjects = find_subjects(library, [str(a.path), f"{b.path}:0.5+{a.path}"], None, ignore_progress)
    with SwapBench(EngineConfig(demo_base, ctx=512, threads=1), subjects, None, 1, ignore_progress) as bench:
        return bench.measure()


def test_the_document_has_every_key_and_only_numbers_that_mean_something(result: SwapResult) -> None:
    document = json.loads(json.dumps(swap_document(result), allow_nan=False))
    assert document.keys() >= REQUIRED
    numbers = [document[key] for key in REQUIRED - {"first_token_after_swap_ms"}]
    assert all(isinstance(number, float) and number > 0 for number in numbers)
    assert document["between"] == ["a", "b:0.5+a"]


def test_the_wait_is_split_and_a_kept_conversation_is_not_read_again(result: SwapResult) -> None:
    waits = swap_document(result)["first_token_after_swap_ms"]
    assert list(waits) == ["0", "256"]  # 1,000 do not fit into this context
    for wait in waits.values():
        for parts in wait.values():
            assert parts.keys() == {"total_ms", "mask_ms", "kv_ms", "decode_ms", "rest_ms"}
            assert 0 < parts["decode_ms"] < parts["total_ms"]
    assert waits["256"]["kept"]["decode_ms"] < waits["256"]["new"]["decode_ms"]


def test_what_the_engine_has_ready_is_quicker_than_reading_again(result: SwapResult) -> None:
    times = swap_document(result)["going_on_with_a_conversation"]
    assert times["conversation"] == 256
    assert times["parked_bytes"] > 0 < times["step_ms"]
    assert 0 < times["restore_ms"] < times["parked_ms"]
    assert max(times["kept_ms"], times["read_ahead_ms"], times["parked_ms"]) < times["read_again_ms"]


def test_each_selection_stands_beside_the_base(result: SwapResult, adapters: list[AdapterFile]) -> None:
    single, mixture = swap_document(result)["adapters"]
    a, b = adapters
    assert [(member["sha256"], member["scale"]) for member in single["members"]] == [(a.sha256, 1.0)]
    assert {(member["sha256"], member["scale"]) for member in mixture["members"]} == {(a.sha256, 1.0), (b.sha256, 0.5)}
    assert single["outputs_differ"] is (single["answer"]["text"] != single["base_answer"]["text"])
    assert single["outputs_differ"]
    assert single["load_ms"] > 0 < single["effect"]
    assert single["base_answer"]["prompt_tokens"] == single["answer"]["prompt_tokens"]


def test_the_page_says_what_a_person_waits_for_first(result: SwapResult) -> None:
    page = markdown(swap_tables(result), "Swap", remarks(result))
    titles = [line for line in page.splitlines() if line.startswith("## ")]
    assert titles[0].startswith("## First token after a swap")
    widths = {line.count("|") - 2 * line.count("\\|") for line in page.splitlines() if line.startswith("| 256")}
    assert widths == {8}
    assert str(result.machine["cpu"]) in page


def test_answers_are_those_of_the_engine_whatever_was_forgotten(core: EngineCore, adapters: list[AdapterFile]) -> None:
    under = Selection.of([Member(adapters[0].sha256)])
    tokens = random_tokens(40, core.base.n_vocab, seed=1)
    first = run(core, tokens, under, 8)
    kept = run(core, tokens, under, 8)
    core.forget_conversations()
    again = run(core, tokens, under, 8)
    assert [made.finished.reused_tokens for made in (first, kept, again)] == [0, 39, 0]
    assert first.text == kept.text == again.text
    assert first.total >= first.mask + first.kv + first.decode


def test_a_failed_request_is_raised(core: EngineCore) -> None:
    with pytest.raises(ContextOverflowError):
        run(core, [0] * 600, BASE, 1)


def test_steps_of_both_ways_take_time(core: EngineCore, config: EngineConfig, adapters: list[AdapterFile]) -> None:
    tokens = random_tokens(9, core.base.n_vocab, seed=2)
    pair = [Selection.of([Member(file.sha256)]) for file in adapters]
    with NativeRunner(config, {file.sha256: file.path for file in adapters}) as native:
        kinds = {"ours": alternating(partial(step, core, tokens), pair), "own": partial(native.step, tokens, BASE)}
        samples = interleave(kinds, 2, ignore_progress)
    assert [len(taken) for taken in samples.values()] == [16, 16]
    assert all(sample.swap > 0 < sample.decode for taken in samples.values() for sample in taken)


def test_alternating_never_repeats_a_selection() -> None:
    seen: list[Selection] = []
    pair = [BASE, Selection.of([Member("a" * 64)])]
    take = alternating(seen.append, pair)  # type: ignore[arg-type]
    for _ in range(6):
        take()
    assert all(left != right for left, right in pairwise(seen))


def test_nothing_to_measure_is_a_usage_error(demo_base: Path, tmp_path: Path) -> None:
    library = AdapterLibrary(demo_base, folder=tmp_path, demo=tmp_path)
    with pytest.raises(UsageError, match="no adapters to measure"):
        find_subjects(library, [], None, ignore_progress)
    with pytest.raises(UsageError, match="the base itself"):
        find_subjects(library, ["base"], None, ignore_progress)


def test_percentiles_are_of_the_sample() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (median(values), percentile(values, 0.95), percentile([3.0], 0.95)) == (50.5, 95.0, 3.0)
    assert math.isnan(percentile([], 0.5))
