"""The whole merge, by what it is judged by; divergences are recomputed by code that shares nothing with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.adapters import write_adapter
from support.kl import agreement, all_logits
from support.merging import LEGAL, ROOT, UNVERIFIED
from support.streaming import rewrites, tensors_of, values_of

from edgelora.gguf.baked_in import baked_into
from edgelora.gguf.reader import read_header
from edgelora.merge.base import read_base
from edgelora.merge.layout import plan_layout
from edgelora.merge.merge import REPORT_KEY, merge
from edgelora.merge.options import MergeMember, Options
from edgelora.merge.sequences import text_of
from edgelora.merge.stream import write_layout
from edgelora.native.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgelora.merge.options import Precision
    from edgelora.merge.trade import Trade


BUDGET = 0.05


def tokens_of(base: Path, part: str, count: int, length: int = 64) -> list[tuple[int, ...]]:
    """Sequences from the end of one of the texts."""
    with Model(base) as model:
        tokens = model.tokenize(text_of(part), parse_special=False, add_special=False)[-count:]
    return [tuple(tokens[start : start + length]) for start in range(0, count, length)]


def kl_share(base: Path, adapter: Path, merged: Path, sequences: Sequence[Sequence[int]]) -> float:
    """How far the merged file is from the adapter at run time, as a share of what the adapter changes."""
    reference = all_logits(base, sequences, [(adapter, 1.0)])
    effect = agreement(reference, all_logits(base, sequences)).kl
    assert effect > 0.05  # the adapter does something
    return agreement(reference, all_logits(merged, sequences)).kl / effect


def assert_auto_keeps(base: Path, adapter: Path, out: Path, tokens: int) -> None:
    """At least 2,000 tokens in the slow tests, few in the others."""
    merge(base, [MergeMember(adapter)], out, UNVERIFIED)
    assert kl_share(base, adapter, out, tokens_of(base, "verification", tokens)) <= BUDGET


# --- what is kept


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K"])
def test_auto_keeps_the_adapter(quantized: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    assert_auto_keeps(quantized(kind), LEGAL, tmp_path / "out.gguf", 256)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["chat", "coding", "legal", "medical"])
@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0"])
def test_auto_keeps_every_adapter_on_every_base(
    quantized: Callable[[str], Path], tmp_path: Path, kind: str, adapter: str
) -> None:
    assert_auto_keeps(quantized(kind), LEGAL.with_stem(adapter), tmp_path / "out.gguf", 2048)


def assert_same_is_no_worse(base: Path, adapter: Path, folder: Path, tokens: int) -> None:
    """Nearer to the adapter at run time than plain rounding to the same types, on text that calibrated nothing."""
    plain, ours = folder / "plain.gguf", folder / "ours.gguf"
    write_layout(plain, plan_layout(read_base(base), rewrites(read_base(base), {adapter: 1.0}), {}), threads=1)
    merge(base, [MergeMember(adapter)], ours, Options("same", verify=False, force=True, threads=1))
    assert types_of(ours) == types_of(base)
    sequences = tokens_of(base, "verification", tokens)
    assert kl_share(base, adapter, ours, sequences) <= 1.02 * kl_share(base, adapter, plain, sequences)


def test_same_is_no_worse_than_plain_rounding(quantized: Callable[[str], Path], tmp_path: Path) -> None:
    assert_same_is_no_worse(quantized("Q4_K"), LEGAL, tmp_path, 256)


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["chat", "coding", "legal", "medical"])
@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0"])
def test_same_is_no_worse_for_every_adapter_on_every_base(
    quantized: Callable[[str], Path], tmp_path: Path, kind: str, adapter: str
) -> None:
    assert_same_is_no_worse(quantized(kind), LEGAL.with_stem(adapter), tmp_path, 2048)


def test_a_source_keeps_the_types_of_the_base(quantized: Callable[[str], Path], f32_base: Path, tmp_path: Path) -> None:
    base, out = quantized("Q8_0"), tmp_path / "out.gguf"
    report = merge(base, [MergeMember(LEGAL)], out, Options(source=f32_base, verify=False, threads=1))
    assert types_of(out) == types_of(base)
    assert report.adapter_kept == pytest.approx(1, abs=0.01)
    assert kl_share(base, LEGAL, out, tokens_of(base, "verification", 128)) <= BUDGET


def assert_nearer_than_at_run_time(base: Path, source: Path, adapter: Path, out: Path, tokens: int) -> None:
    """From the source, in the base's own types: within the budget, or no further from the truth than the base is."""
    report = merge(base, [MergeMember(adapter)], out, Options(source=source, verify=False, threads=1))
    assert report.adapter_kept == pytest.approx(1, abs=0.05)
    assert types_of(out) == types_of(base)
    sequences = tokens_of(base, "verification", tokens)
    at_run_time = all_logits(base, sequences, [(adapter, 1.0)])
    merged = all_logits(out, sequences)
    share = agreement(at_run_time, merged).kl / agreement(at_run_time, all_logits(base, sequences)).kl
    truth = all_logits(source, sequences, [(adapter, 1.0)])
    distances = agreement(truth, merged).kl, agreement(truth, at_run_time).kl
    print(f"{base.stem} {adapter.stem}: {share:.1%} of the effect, {distances[0]:.4f} against {distances[1]:.4f} nats")
    assert share <= BUDGET or distances[0] <= 1.05 * distances[1]


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["chat", "coding", "legal", "medical"])
@pytest.mark.parametrize("kind", ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_0"])
def test_from_a_source_every_adapter_on_every_base(
    quantized: Callable[[str], Path], f32_base: Path, tmp_path: Path, kind: str, adapter: str
) -> None:
    assert_nearer_than_at_run_time(quantized(kind), f32_base, LEGAL.with_stem(adapter), tmp_path / "out.gguf", 2048)


def test_from_a_source_it_is_nearer_to_the_truth_than_the_adapter_at_run_time(
    quantized: Callable[[str], Path], f32_base: Path, tmp_path: Path
) -> None:
    base, out = quantized("Q4_K"), tmp_path / "out.gguf"
    report = merge(base, [MergeMember(LEGAL)], out, Options(source=f32_base, threads=1))
    assert report.against_source is not None
    assert report.verdict == "passed"
    sequences = tokens_of(base, "verification", 256)
    truth = all_logits(f32_base, sequences, [(LEGAL, 1.0)])
    merged = agreement(truth, all_logits(out, sequences)).kl
    at_run_time = agreement(truth, all_logits(base, sequences, [(LEGAL, 1.0)])).kl
    assert merged < 0.9 * at_run_time
    assert report.against_source.kl_merged < 0.9 * report.against_source.kl_at_run_time


@pytest.mark.parametrize("precision", ["q6_k", "q8_0", "f16"])
def test_one_type_from_a_source_is_for_all_matrices(
    quantized: Callable[[str], Path], f32_base: Path, tmp_path: Path, precision: Precision
) -> None:
    base, out = quantized("Q8_0"), tmp_path / "out.gguf"
    options = Options(precision, source=f32_base, verify=False, threads=1)
    merge(base, [MergeMember(write_adapter(tmp_path / "q.gguf", base, targets=("attn_q",)).path)], out, options)
    vectors = {name for name, info in read_header(base).tensors.items() if len(info.shape) == 1}
    assert vectors
    assert types_of(out) == {name: "F32" if name in vectors else precision.upper() for name in types_of(base)}
    before, after = (values_of(path, "blk.0.ffn_up.weight") for path in (f32_base, out))
    assert np.linalg.norm(after - before) < 0.03 * np.linalg.norm(before)
    sequences = tokens_of(base, "verification", 64)
    assert agreement(all_logits(f32_base, sequences), all_logits(out, sequences)).kl < 1  # llama.cpp computes with it


def types_of(path: Path) -> dict[str, str]:
    return {name: info.type_name for name, info in read_header(path).tensors.items()}


# --- algebra


def test_scale_0_leaves_every_tensor_as_it_is(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    report = merge(demo_base, [MergeMember(path, 0.0) for path in adapters], out, UNVERIFIED)
    assert tensors_of(out) == tensors_of(demo_base)
    assert (report.adapter_kept, report.kinds) == (1.0, ())
    assert baked_into(read_header(out)) == ()
    merge(demo_base, [MergeMember(adapters[0], 0.0), MergeMember(adapters[1], 0.5)], out, UNVERIFIED)
    assert [adapter.scale for adapter in baked_into(read_header(out))] == [0.5]


def test_taking_it_away_again_gives_the_base(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    there, back = tmp_path / "there.gguf", tmp_path / "back.gguf"
    merge(f32_base, [MergeMember(adapters[0], 0.7)], there, UNVERIFIED)
    merge(there, [MergeMember(adapters[0], -0.7)], back, UNVERIFIED)
    name = "blk.0.attn_q.weight"
    before, moved, after = (values_of(path, name) for path in (f32_base, there, back))
    assert np.abs(moved - before).max() > 1e-3
    assert np.abs(after - before).max() < 1e-6 * np.abs(moved).max()
    assert types_of(back) == types_of(f32_base)


def test_two_adapters_are_the_sum(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    both, one, then = (tmp_path / f"{name}.gguf" for name in ("both", "one", "then"))
    first, second = MergeMember(adapters[0], 0.5), MergeMember(adapters[1], 1.5)
    merge(f32_base, [first, second], both, UNVERIFIED)
    merge(f32_base, [first], one, UNVERIFIED)
    merge(one, [second], then, UNVERIFIED)
    for name in ("attn_q", "attn_k", "ffn_up", "ffn_down"):
        values = [values_of(path, f"blk.1.{name}.weight") for path in (f32_base, both, then)]
        assert np.abs(values[1] - values[0]).max() > 1e-3
        assert np.abs(values[2] - values[1]).max() < 1e-6 * np.abs(values[1]).max()


# --- what it says


def test_the_report_is_in_the_file_and_names_no_path(demo_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    report = merge(demo_base, [MergeMember(LEGAL, 0.5, "legal")], out, Options(threads=1))
    said = report.to_dict()
    figures = ("kl_merged", "kl_effect", "top1_merged", "top1_effect", "adapter_kept", "peak_memory_bytes")
    assert all(isinstance(said[name], int | float) for name in figures)
    assert said["verdict"] == "passed"
    assert said["kl_merged"] < BUDGET * said["kl_effect"]
    assert said["top1_merged"] > said["top1_effect"]
    assert 10e6 < said["peak_memory_bytes"] < 1e9
    assert said["file_size"] == out.stat().st_size
    header = read_header(out)
    stored = header.get(REPORT_KEY, "")
    assert {name: json.loads(stored)[name] for name in figures[:5]} == {name: said[name] for name in figures[:5]}
    assert str(ROOT) not in stored
    assert str(tmp_path) not in stored
    assert list(header.metadata["edgelora.merge.adapters"]) == ["legal"]
    assert list(header.metadata["edgelora.merge.scales"]) == [0.5]


def test_what_it_costs_is_said_before_anything_is_written(demo_base: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "out.gguf", []

    def announce(trade: Trade) -> None:
        seen.append((trade, list(tmp_path.iterdir())))

    report = merge(demo_base, [MergeMember(LEGAL)], out, UNVERIFIED, announce=announce)
    [(trade, files)] = seen
    assert files == []
    assert trade == report.trade
    assert trade.base_bytes == demo_base.stat().st_size
    assert trade.merged_bytes == pytest.approx(out.stat().st_size, rel=0.01)


def test_stopping_at_the_price_leaves_nothing(demo_base: Path, tmp_path: Path) -> None:
    def refuse(trade: Trade) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(demo_base, [MergeMember(LEGAL)], tmp_path / "out.gguf", UNVERIFIED, announce=refuse)
    assert list(tmp_path.iterdir()) == []
