"""Damaged adapters and bases never crash a client; the engine is there afterwards and answers as before.

All of it, with what became of each: scripts/test -m slow tests/engine/test_mutated_files.py -s
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.feeding import answer, feed_adapters, feed_bases
from support.mutations import Parts, mutated

from edgelora.engine.client import open_engine
from edgelora.errors import GGUFError
from edgelora.types import EngineConfig

ROOT = Path(__file__).parents[2]
ADAPTERS = sorted((ROOT / "models" / "adapters").glob("*.gguf"))
CRASHED = ("crashed", "quarantined")
ALL_OF_THEM = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_a_seed_always_gives_the_same_file() -> None:
    parts = Parts.of(ADAPTERS[0])
    assert parts.encoded() == ADAPTERS[0].read_bytes()
    files = [mutated(parts, seed) for seed in range(20)]
    assert files == [mutated(parts, seed) for seed in range(20)]
    assert len({raw for _, raw in files}) > 15


async def test_a_base_that_llama_cpp_would_abort_on_is_refused_before(tmp_path: Path) -> None:
    parts = Parts.of(ROOT / "models" / "demo.gguf")
    bf16 = (replace(tensor, type_id=30) if "norm" in str(tensor.name) else tensor for tensor in parts.tensors)
    path = tmp_path / "base.gguf"
    path.write_bytes(replace(parts, tensors=tuple(bf16)).laid_out().encoded())
    with pytest.raises(GGUFError, match="cannot compute with this base"):
        await open_engine(EngineConfig(path))


@pytest.mark.parametrize(
    ("count", "exclusive"),
    [(40, False), pytest.param(2000, False, marks=ALL_OF_THEM), pytest.param(2000, True, marks=ALL_OF_THEM)],
)
async def test_mutated_adapters(count: int, exclusive: bool, tmp_path: Path) -> None:
    """Pooled, the engine reads the files itself; in exclusive mode llama.cpp does, once they have passed the checks."""
    base = ROOT / "models" / "demo.gguf"
    engine = await open_engine(EngineConfig(base, ctx=256, threads=1, exclusive=exclusive))
    before = await answer(engine)
    fates = await feed_adapters(engine, ADAPTERS, range(count), tmp_path)
    print(dict(fates))
    assert fates["worked"]
    assert fates["refused before llama.cpp"]
    assert not [fate for fate in fates if fate.startswith(CRASHED)]
    assert await answer(engine) == before
    await engine.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_mutated_bases(tmp_path: Path) -> None:
    fates = await feed_bases(ROOT / "models" / "demo.gguf", range(200), tmp_path)
    print(dict(fates))
    assert fates["worked"]
    assert not [fate for fate in fates if fate.startswith(CRASHED)]
