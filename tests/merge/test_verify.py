"""Verification end to end: the figures are those of independent code, and broken files are one clear error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from support.adapters import write_adapter
from support.kl import agreement, all_logits
from support.merging import merged_by_hand
from support.tiny_llama import write_tiny_llama

from edgelora.errors import EngineDiedError, EngineError
from edgelora.merge.forward import AppliedAdapter
from edgelora.merge.sequences import sample
from edgelora.merge.verify import verify
from edgelora.native.model import Model

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.types import Progress


@pytest.fixture(scope="module")
def legal(demo_base: Path) -> Path:
    return demo_base.parent / "adapters" / "legal.gguf"


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, f32_base: Path, legal: Path) -> Path:
    """The base with half of the adapter."""
    return merged_by_hand(tmp_path_factory.mktemp("merged") / "half.gguf", f32_base, legal, 0.5)


def test_figures_are_those_of_independent_code(f32_base: Path, legal: Path, half: Path) -> None:
    found = verify(f32_base, [AppliedAdapter(legal)], half, n_tokens=512)
    with Model(f32_base) as model:
        sequences = sample(model, "verification", 512).sequences
    reference = all_logits(f32_base, sequences, [(legal, 1.0)])
    merged, effect = (agreement(reference, all_logits(path, sequences)) for path in (half, f32_base))
    assert (found.kl_merged, found.kl_effect) == pytest.approx((merged.kl, effect.kl), rel=1e-4)
    assert (found.top1_merged, found.top1_effect) == pytest.approx((merged.top1, effect.top1), abs=2 / 512)
    assert 0.01 < merged.kl < effect.kl
    assert found.n_tokens == 512
    assert found.verdict == "failed"


def test_an_exact_merge_passes(tmp_path: Path, f32_base: Path, legal: Path) -> None:
    merged = merged_by_hand(tmp_path / "merged.gguf", f32_base, legal)
    found = verify(f32_base, [AppliedAdapter(legal)], merged)
    assert found.verdict == "passed"
    assert found.kl_merged < 1e-6 < 0.1 < found.kl_effect
    assert found.top1_merged > 0.999 > 0.8 > found.top1_effect
    assert found.n_tokens >= 2000


def test_scales_and_several_adapters_are_applied(f32_base: Path, tmp_path: Path, legal: Path, half: Path) -> None:
    other = write_adapter(tmp_path / "other.gguf", f32_base, strength=0.3).path
    members = [AppliedAdapter(legal, 0.5), AppliedAdapter(other, -2.0)]
    merged = merged_by_hand(tmp_path / "both.gguf", half, other, -2.0)
    assert verify(f32_base, members, merged, n_tokens=256).kl_merged < 1e-6
    assert verify(f32_base, members[:1], merged, n_tokens=256).kl_merged > 1e-2


def test_the_base_in_place_of_the_merge_fails(demo_base: Path, legal: Path) -> None:
    found = verify(demo_base, [AppliedAdapter(legal)], demo_base, n_tokens=512)
    assert found.kl_merged == found.kl_effect > 0.1
    assert found.top1_merged == found.top1_effect
    assert found.verdict == "failed"


def test_rounding_is_measured(demo_base: Path, f32_base: Path, legal: Path) -> None:
    """Quantized products round their inputs to 8 bits, and that shows; an adapter at scale 0.001 does no more."""
    quantized, exact = (
        verify(base, [AppliedAdapter(legal, 1e-3)], base, n_tokens=512) for base in (demo_base, f32_base)
    )
    assert 1e-4 < quantized.kl_noise < 1e-2
    assert exact.kl_noise < quantized.kl_noise / 10
    assert quantized.verdict == "no effect"


def test_progress_counts_the_tokens(demo_base: Path, legal: Path) -> None:
    seen: list[Progress] = []
    found = verify(demo_base, [AppliedAdapter(legal)], demo_base, n_tokens=512, report=seen.append)
    done = [progress.done for progress in seen if progress.stage == "verifying"]
    assert done == sorted(done)
    assert len(done) > 5
    assert (done[0], done[-1]) == (0, found.n_tokens)
    assert seen[0].stage.startswith("opening")


def test_a_base_without_a_vocabulary_reads_random_tokens(tmp_path: Path) -> None:
    base = write_tiny_llama(tmp_path / "tiny.gguf")
    adapter = write_adapter(tmp_path / "adapter.gguf", base).path
    merged = merged_by_hand(tmp_path / "merged.gguf", base, adapter)
    found = verify(base, [AppliedAdapter(adapter)], merged, n_tokens=256)
    assert "pseudo-random" in found.source
    assert found.verdict == "passed"


def test_another_vocabulary_is_another_base(tmp_path: Path) -> None:
    base, other = write_tiny_llama(tmp_path / "base.gguf"), write_tiny_llama(tmp_path / "other.gguf", vocab=64)
    with pytest.raises(EngineError, match=r"other\.gguf knows 64 tokens"):
        verify(base, [], other, n_tokens=256)


def test_weights_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    base, broken = write_tiny_llama(tmp_path / "base.gguf"), write_tiny_llama(tmp_path / "broken.gguf")
    tensor = next(t for t in GGUFReader(broken, "r+").tensors if t.name == "blk.1.ffn_up.weight")
    tensor.data[...] = np.nan
    tensor.data.flush()
    with pytest.raises(EngineError, match="no numbers"):
        verify(base, [], broken, n_tokens=256)


def test_a_file_that_is_no_model_is_one_error(tmp_path: Path, demo_base: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(EngineError, match=r"cannot load .*bad\.gguf"):
        verify(demo_base, [], tmp_path / "bad.gguf")


def test_a_native_crash_is_one_error(tmp_path: Path, demo_base: Path) -> None:
    """llama.cpp aborts on an alpha that is no float: a file that nobody has checked before."""
    adapter = tmp_path / "adapter.gguf"
    writer = GGUFWriter(adapter, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_uint32("adapter.lora.alpha", 8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(EngineDiedError, match=r"verification process ended unexpectedly \(SIGABRT\): .*ASSERT"):
        verify(demo_base, [AppliedAdapter(adapter)], demo_base, n_tokens=256)
