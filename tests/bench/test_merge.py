from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

from edgelora.adapters.library import AdapterLibrary
from edgelora.bench.merge import MergeResult, measure
from edgelora.bench.merge_tables import merge_document, merge_remarks, merge_tables
from edgelora.bench.subject import find_subjects
from edgelora.bench.tables import markdown
from edgelora.types import EngineConfig, ignore_progress

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def result(demo_base: Path, tmp_path_factory: pytest.TempPathFactory) -> MergeResult:
    folder, empty = tmp_path_factory.mktemp("merged"), tmp_path_factory.mktemp("empty")
    adapter = write_adapter(tmp_path_factory.mktemp("adapter") / "mine.gguf", demo_base, strength=2.0).path
    library = AdapterLibrary(demo_base, folder=empty, demo=empty)
    [subject] = find_subjects(library, [f"{adapter}:0.5"], None, ignore_progress)
    config = EngineConfig(demo_base, ctx=512, threads=1)
    measured = measure(config, subject, ["auto", "q6_k"], None, folder, ignore_progress)
    assert list(folder.iterdir()) == []
    return measured


def test_the_document_holds_every_figure(result: MergeResult) -> None:
    document = json.loads(json.dumps(merge_document(result), allow_nan=False))
    auto, narrow = document["merges"]
    assert [merged["precision"] for merged in (auto, narrow)] == ["auto", "q6_k"]
    assert auto["kl_merged"] < narrow["kl_merged"] < auto["kl_effect"]
    assert narrow["file_size"] < auto["file_size"]
    assert auto["adapters"] == [auto["adapters"][0] | {"name": "mine", "scale": 0.5}]
    assert all(merged["peak_memory_bytes"] > 0 < merged["write_s"] for merged in (auto, narrow))
    assert list(document["speeds"]) == ["adapter", "auto", "q6_k"]
    for speed in (measured for pair in document["speeds"].values() for measured in (pair["own"], pair["base"])):
        assert list(speed["tok_per_s"]) == ["1", "8", "16"]
        assert list(speed["ttft_ms"]) == ["60"]  # 1,000 do not fit into this context
        assert all(number > 0 for figures in speed.values() for number in figures.values())


def test_narrower_types_keep_less(result: MergeResult) -> None:
    kept = {entry.type_name: entry for entry in result.kept_in}
    assert list(kept) == ["own", "Q8_0", "Q6_K", "Q5_K", "Q4_K"]
    assert kept["own"] == replace(kept["Q8_0"], type_name="own")
    losses = [kept[name].median_loss for name in ("Q8_0", "Q6_K", "Q5_K", "Q4_K")]
    assert losses == sorted(losses)
    assert losses[0] < 0.1 * losses[-1]


def test_the_page_has_a_row_for_each_way(result: MergeResult) -> None:
    page = markdown(merge_tables(result), "edgelora bench merge", merge_remarks(result))
    for row in ("| auto |", "| q6_k |", "| bare base |", "| adapter at run time |", "| baked, auto |", "| Q4_K |"):
        assert row in page
    assert "mine:0.5" in page
