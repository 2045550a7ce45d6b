from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

from edgelora.adapters.library import AdapterLibrary
from edgelora.bench.answering import answering_steps
from edgelora.bench.mixed import measure_mixed
from edgelora.bench.mixed_report import mixed_document, mixed_table
from edgelora.bench.subject import find_subjects
from edgelora.engine.core import EngineCore
from edgelora.errors import EngineError
from edgelora.types import BASE, EngineConfig, ignore_progress

if TYPE_CHECKING:
    from pathlib import Path


def test_every_kind_is_measured(demo_base: Path, tmp_path: Path) -> None:
    paths = [write_adapter(tmp_path / f"{name}.gguf", demo_base, seed=seed).path for seed, name in enumerate("ab")]
    subjects = find_subjects(AdapterLibrary(demo_base), [str(path) for path in paths], None, ignore_progress)
    config = EngineConfig(demo_base, ctx=128, threads=1)
    result = measure_mixed(config, subjects, sequences=3, rounds=1, report=ignore_progress)
    document = mixed_document(result)
    for name in ("step_ms_base", "step_ms_one", "step_ms_mixed", "native_step_ms_one", "native_step_ms_base"):
        assert document[name] > 0, name
    assert math.isfinite(document["reattach_ms"])
    assert (document["sequences"], len(document["adapters"])) == (3, 2)
    assert [row[0] for row in mixed_table(result).rows] == ["base alone", "all on a", "2 adapters mixed"]


def test_answers_that_find_no_room_at_once_are_said(demo_base: Path) -> None:
    core = EngineCore(EngineConfig(demo_base, ctx=64, threads=1))
    try:
        with pytest.raises(EngineError, match="16 answers"):
            answering_steps(core, 16, [BASE] * 16, 2, 40)
    finally:
        core.close()
