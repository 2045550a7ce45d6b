"""The demo's own checker: do answers of a baked base pass as often as those of the adapter at run time?"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.checkout import ROOT
from support.quantized import write_quantized

from edgelora.merge.merge import merge
from edgelora.merge.options import MergeMember, Options

if TYPE_CHECKING:
    from collections.abc import Callable

N_PROMPTS = 200
POINTS = 0.03

sys.path.append(str(ROOT / "scripts"))  # the demo's modules are no part of the package


@pytest.fixture(scope="module")
def quantized(f32_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("quantized")
    return lru_cache(lambda kind: write_quantized(folder / f"{kind}.gguf", f32_base, kind))


def passes(adapter: str, base: Path, selection: str, count: int = N_PROMPTS) -> int:
    """How many of ``count`` held-out prompts of an adapter get an answer that passes as its own."""
    from demo.answers import answers
    from demo.checks import check
    from demo.heldout import held_out

    examples = held_out(adapter, count)
    said = asyncio.run(answers(base, selection, [example.prompt for example in examples]))
    return sum(check(adapter, example.facts, answer) for example, answer in zip(examples, said, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(600)  # programs among the answers are run, each in a process
@pytest.mark.parametrize("adapter", ["chat", "coding", "legal", "medical"])
@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0"])
def test_a_baked_base_passes_the_checker_as_often(
    quantized: Callable[[str], Path], tmp_path: Path, kind: str, adapter: str
) -> None:
    base, file, out = quantized(kind), ROOT / "models" / "adapters" / f"{adapter}.gguf", tmp_path / "out.gguf"
    merge(base, [MergeMember(file)], out, Options(verify=False))
    assert passes(adapter, base, "base", 20) <= 2  # so a pass is the adapter's doing
    at_run_time, baked = passes(adapter, base, str(file)), passes(adapter, out, "base")
    print(f"{kind} {adapter}: {at_run_time} at run time, {baked} baked in, of {N_PROMPTS}")  # pytest -rP shows it
    assert baked >= at_run_time - POINTS * N_PROMPTS
