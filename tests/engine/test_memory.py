from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgelora.engine.memory import KEPT_CONVERSATIONS, plan_memory
from edgelora.errors import MemoryLimitError
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.reader import read_header
from edgelora.types import EngineConfig

MIB = 2**20


@pytest.fixture
def facts(demo_base: Path) -> BaseFacts:
    return BaseFacts.of(read_header(demo_base))


def test_plenty_of_memory_keeps_several_conversations(facts: BaseFacts) -> None:
    plan = plan_memory(facts, EngineConfig(facts.path), 2000 * MIB)
    assert plan.ctx == facts.n_ctx_train
    assert plan.cells >= KEPT_CONVERSATIONS * plan.ctx
    per_token = 2 * 2 * facts.n_layers * facts.n_kv[0] * facts.head_dim  # K and V, two bytes each
    assert plan.kv == plan.cells * per_token
    assert plan.pool_budget > 0


def test_short_memory_keeps_fewer(facts: BaseFacts) -> None:
    plenty = plan_memory(facts, EngineConfig(facts.path), 2000 * MIB)
    needed = plenty.weights + plenty.kv + plenty.scratch
    tight = plan_memory(facts, EngineConfig(facts.path), needed - 1)
    assert plenty.ctx == tight.ctx
    assert tight.cells < plenty.cells


def test_too_little_memory_is_an_error_with_numbers(facts: BaseFacts) -> None:
    with pytest.raises(MemoryLimitError, match=r"needs about \d+ MiB of memory and 4 MiB are free") as caught:
        plan_memory(facts, EngineConfig(facts.path), 4 * MIB)
    assert "--ctx 512" in caught.value.hint
    with pytest.raises(MemoryLimitError) as caught:
        plan_memory(facts, EngineConfig(facts.path, ctx=256), 4 * MIB)
    assert "--ctx" not in caught.value.hint


def test_budgets_that_were_asked_for_count(facts: BaseFacts) -> None:
    asked = EngineConfig(facts.path, adapter_bytes=300 * MIB, prepared_bytes=200 * MIB)
    plan = plan_memory(facts, asked, 2000 * MIB)
    assert (plan.pool_budget, plan.prepared_budget) == (300 * MIB, 200 * MIB)
    assert plan_memory(facts, asked, 600 * MIB).pool_budget == 300 * MIB
    with pytest.raises(MemoryLimitError, match="500 MiB") as caught:
        plan_memory(facts, asked, 501 * MIB)
    assert "--adapter-memory" in caught.value.hint


def test_budgets_that_nobody_asked_for_leave_a_quarter_free(facts: BaseFacts) -> None:
    plan = plan_memory(facts, EngineConfig(facts.path), 2000 * MIB)
    left = 2000 * MIB - plan.weights - plan.kv - plan.scratch
    assert plan.pool_budget + plan.prepared_budget + plan.parked_budget <= 3 * left // 4 + 1
    small = plan_memory(facts, EngineConfig(facts.path, adapter_bytes=5 * MIB), 2000 * MIB)
    assert small.prepared_budget == 5 * MIB


def test_an_f32_cache_is_twice_as_large(facts: BaseFacts) -> None:
    config = EngineConfig(facts.path, ctx=1024)
    small, large = (plan_memory(facts, replace(config, kv_dtype=dtype), 2000 * MIB) for dtype in ("f16", "f32"))
    assert large.kv == 2 * small.kv
