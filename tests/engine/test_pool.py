"""What the pool holds, experts and the token embedding included, and which of its rows the graph sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import callbacks
from support.adapters import ATTENTION, write_adapter
from support.engines import exact_config, greedy, mixed_logits, native_logits, opened, run, selection
from support.pool_cores import opened_pool
from support.tiny_llama import write_tiny_llama

from edgelora.engine.batching import DETACH_AFTER
from edgelora.engine.factors import prepare
from edgelora.engine.pool import SMALL_STEP
from edgelora.engine.pool_rows import ROW_STEP
from edgelora.engine.probe import relative_difference
from edgelora.engine.rows import PoolFullError
from edgelora.errors import AdapterError, EngineError
from edgelora.gguf.reader import read_header
from edgelora.native.context import NativeAdapter
from edgelora.native.model import Model
from edgelora.types import BASE, AdapterFile

EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
PROMPTS = [[1 + 5 * i + j for j in range(3 + i)] for i in range(4)]


@pytest.fixture(scope="module")
def moe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("moe") / "base.gguf", experts=4, used=2)


def adapters_for(folder: Path, base: Path, *targets: tuple[str, ...]) -> list[AdapterFile]:
    return [
        write_adapter(folder / f"{i}.gguf", base, seed=i, rank=4 * (1 + i % 3), targets=names, dtype="float32")
        for i, names in enumerate(targets)
    ]


@pytest.mark.parametrize("kind", callbacks.KINDS)
@pytest.mark.parametrize(
    "targets",
    [
        pytest.param([EXPERTS, ATTENTION, (*EXPERTS, *ATTENTION, "ffn_gate_inp")], id="experts"),
        pytest.param([("token_embd",), ATTENTION, ("token_embd", "output", *ATTENTION)], id="token embedding"),
    ],
)
def test_experts_and_the_token_embedding_agree_with_llama_cpp(
    moe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, targets: list[tuple[str, ...]]
) -> None:
    callbacks.use(kind, monkeypatch)
    adapters = adapters_for(tmp_path, moe, *targets)
    cases = [[(adapters[0], 1.0)], [(adapters[1], 0.7)], [(adapters[2], 1.0), (adapters[0], -0.5)], []]
    with opened_pool(moe) as core:
        assert core.self_test() == ""
        core.add(adapters)
        mixed = mixed_logits(core, PROMPTS, [selection(*members) if members else BASE for members in cases])
        base = native_logits(core, PROMPTS, [])
        for i, members in enumerate(cases):
            expected = native_logits(core, PROMPTS, members)[i]
            assert not members or relative_difference(expected, base[i]) > 0.01
            assert relative_difference(mixed[i], expected) < 2e-6


def test_rows_that_an_adapter_leaves_to_its_predecessor_are_zero(moe: Path, tmp_path: Path) -> None:
    """Rows are given back and taken again: nothing of who had them before remains, in any expert."""
    first, second, third = adapters_for(tmp_path, moe, (*EXPERTS, "token_embd"), ATTENTION, (*EXPERTS, "token_embd"))
    with opened_pool(moe) as core:
        core.add([first, third])
        core._pool.remove(first.sha256)
        core.add([second])
        mixed = mixed_logits(core, PROMPTS[:1], [selection((second, 1.0))])[0]
        assert relative_difference(mixed, native_logits(core, PROMPTS[:1], [(second, 1.0)])[0]) < 2e-6


def test_the_budget_counts_every_expert(moe: Path, tmp_path: Path) -> None:
    (adapter,) = adapters_for(tmp_path, moe, EXPERTS)
    header = read_header(moe)
    n_values = sum(np.prod(i.shape[2:]) * sum(i.shape[:2]) for n, i in header.tensors.items() if "_exps" in n)
    needed = int(n_values) * 4 * SMALL_STEP
    with opened_pool(moe, budget=needed - 1) as core, pytest.raises(PoolFullError):
        core._pool.add(prepare(adapter, header, "f32"))
    for budget, rows in ((needed, SMALL_STEP), (2 * needed, 2 * SMALL_STEP), (9 * needed, ROW_STEP)):
        with opened_pool(moe, budget=budget) as core:
            core.add([adapter])
            assert (core._pool.rows, core._pool.nbytes) == (rows, needed // SMALL_STEP * rows)


@pytest.mark.parametrize("error", [AdapterError("out of memory"), OSError(28, "No space left on device")], ids=type)
def test_residents_survive_a_pool_that_cannot_be_replaced(
    moe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    first, second = adapters_for(tmp_path, moe, ATTENTION, EXPERTS)
    refusals = [error]

    def load(model: Model, path: Path) -> NativeAdapter:
        if refusals:
            raise refusals.pop()
        return NativeAdapter(model, path)

    with opened_pool(moe) as core:
        core.add([first])
        expected = mixed_logits(core, PROMPTS[:1], [selection((first, 1.0))])[0]
        monkeypatch.setattr("edgelora.engine.pool_adapter.NativeAdapter", load)
        with pytest.raises(EngineError, match="pool cannot be opened"):
            core.add([second])
        assert np.array_equal(mixed_logits(core, PROMPTS[:1], [selection((first, 1.0))])[0], expected)


# --- which rows the graph sees


def seen(core: object) -> int:
    """How many rows the graph multiplies with."""
    return core._pool._masks.n_columns  # type: ignore[attr-defined, no-any-return]


def test_while_few_adapters_are_in_use_the_graph_sees_only_these(f32_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"{i}.gguf", f32_base, rank=32, seed=i, dtype="float32") for i in range(5)]
    prompt = list(range(300, 310))
    with opened(exact_config(f32_base), adapters) as core:
        answers = [run(core, greedy("a", prompt, selection((a, 1.0)), 24))["a"] for a in adapters]
        assert len(set(answers)) > 2
        for i in (4, 2):
            assert seen(core) == core._pool.rows
            for _ in range(2 * DETACH_AFTER):  # answers of a token or more
                assert run(core, greedy("a", prompt, selection((adapters[i], 1.0)), 24))["a"] == answers[i]
            assert seen(core) == ROW_STEP
            assert run(core, greedy("a", prompt, selection((adapters[1], 1.0)), 24))["a"] == answers[1]
        assert set(core._pool.adapters) == {adapter.sha256 for adapter in adapters}  # nobody had to go


def test_an_adapter_that_comes_back_to_other_rows_is_seen_there(moe: Path, tmp_path: Path) -> None:
    adapters = adapters_for(tmp_path, moe, *[ATTENTION] * 20)
    first = selection((adapters[0], 1.0))
    with opened_pool(moe) as core:
        core.add(adapters)
        for _ in range(DETACH_AFTER):
            expected = mixed_logits(core, PROMPTS[:1], [first])[0]
        assert seen(core) == ROW_STEP
        for adapter in adapters[:2]:
            core._pool.remove(adapter.sha256)
        core.add([adapters[1], adapters[0]])
        assert relative_difference(mixed_logits(core, PROMPTS[:1], [first])[0], expected) < 2e-6


def test_an_adapter_that_has_gone_is_not_waited_for(moe: Path, tmp_path: Path) -> None:
    adapters = adapters_for(tmp_path, moe, *[ATTENTION] * 20)
    with opened_pool(moe) as core:
        core.add(adapters)
        mixed_logits(core, PROMPTS[:1], [selection((adapters[0], 1.0))])
        core._pool.remove(adapters[0].sha256)
        for _ in range(DETACH_AFTER):
            mixed_logits(core, PROMPTS[:1], [selection((adapters[1], 1.0))])
        assert seen(core) == ROW_STEP


def test_experts_in_a_copy_agree_with_llama_cpp(moe: Path, tmp_path: Path) -> None:
    adapters = adapters_for(tmp_path, moe, *[(*EXPERTS, *ATTENTION, "token_embd", "output")] * 20)
    with opened_pool(moe) as core:
        core.add(adapters)
        whole = seen(core)
        under = [selection((adapters[4], 1.0)), BASE, selection((adapters[6], 0.7)), BASE]
        for _ in range(DETACH_AFTER):
            mixed = mixed_logits(core, PROMPTS, under)
        assert seen(core) == ROW_STEP < whole
        for i, members in enumerate([[(adapters[4], 1.0)], [], [(adapters[6], 0.7)], []]):
            assert relative_difference(mixed[i], native_logits(core, PROMPTS, members)[i]) < 2e-6
        other = mixed_logits(core, PROMPTS[:1], [selection((adapters[3], 1.0))])[0]
        assert relative_difference(other, native_logits(core, PROMPTS[:1], [(adapters[3], 1.0)])[0]) < 2e-6


def test_without_memory_for_a_copy_the_graph_sees_all(
    moe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapters = adapters_for(tmp_path, moe, *[ATTENTION] * 20)
    under = [selection((adapters[0], 1.0))]
    with opened_pool(moe) as core:
        core.add(adapters)
        expected = mixed_logits(core, PROMPTS[:1], under)[0]

        def refuse(name: str) -> None:
            raise MemoryError

        monkeypatch.setattr(core._pool._tensors, "_for_copies", refuse)
        for _ in range(DETACH_AFTER):
            assert np.array_equal(mixed_logits(core, PROMPTS[:1], under)[0], expected)
        assert seen(core) == core._pool.rows
