"""The whole merge, by what it is judged by; divergences are recomputed by code that shares nothing with it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.adapters import write_adapter
from support.kl import agreement, all_logits
from support.peft_folders import Shape, peft_source, write_base
from support.quantized import write_quantized
from support.streaming import rewrites, tensors_of, values_of

from edgelora.errors import EdgeloraError, GGUFError, MergeError
from edgelora.gguf.baked_in import baked_into
from edgelora.gguf.reader import read_header
from edgelora.merge.base import read_base
from edgelora.merge.layout import plan_layout
from edgelora.merge.merge import REPORT_KEY, merge
from edgelora.merge.options import Member, Options
from edgelora.merge.sequences import text_of
from edgelora.merge.stream import write_layout
from edgelora.native.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gguf import GGUFWriter

    from edgelora.merge.options import Precision
    from edgelora.merge.trade import Trade
    from edgelora.types import Progress

ROOT = Path(__file__).resolve().parents[2]
LEGAL = ROOT / "models" / "adapters" / "legal.gguf"
UNVERIFIED = Options(verify=False, threads=1)
BUDGET = 0.05


@pytest.fixture(scope="module")
def quantized(f32_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The demo's base in a type."""
    folder = tmp_path_factory.mktemp("quantized")
    return lru_cache(lambda kind: write_quantized(folder / f"{kind}.gguf", f32_base, kind))


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
    merge(base, [Member(adapter)], out, UNVERIFIED)
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
    merge(base, [Member(adapter)], ours, Options("same", verify=False, force=True, threads=1))
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
    report = merge(base, [Member(LEGAL)], out, Options(source=f32_base, verify=False, threads=1))
    assert types_of(out) == types_of(base)
    assert report.adapter_kept == pytest.approx(1, abs=0.01)
    assert kl_share(base, LEGAL, out, tokens_of(base, "verification", 128)) <= BUDGET


def assert_nearer_than_at_run_time(base: Path, source: Path, adapter: Path, out: Path, tokens: int) -> None:
    """From the source, in the base's own types: within the budget, or no further from the truth than the base is."""
    report = merge(base, [Member(adapter)], out, Options(source=source, verify=False, threads=1))
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
    report = merge(base, [Member(LEGAL)], out, Options(source=f32_base, threads=1))
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
    merge(base, [Member(write_adapter(tmp_path / "q.gguf", base, targets=("attn_q",)).path)], out, options)
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
    report = merge(demo_base, [Member(path, 0.0) for path in adapters], out, UNVERIFIED)
    assert tensors_of(out) == tensors_of(demo_base)
    assert (report.adapter_kept, report.kinds) == (1.0, ())
    assert baked_into(read_header(out)) == ()
    merge(demo_base, [Member(adapters[0], 0.0), Member(adapters[1], 0.5)], out, UNVERIFIED)
    assert [adapter.scale for adapter in baked_into(read_header(out))] == [0.5]


def test_taking_it_away_again_gives_the_base(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    there, back = tmp_path / "there.gguf", tmp_path / "back.gguf"
    merge(f32_base, [Member(adapters[0], 0.7)], there, UNVERIFIED)
    merge(there, [Member(adapters[0], -0.7)], back, UNVERIFIED)
    name = "blk.0.attn_q.weight"
    before, moved, after = (values_of(path, name) for path in (f32_base, there, back))
    assert np.abs(moved - before).max() > 1e-3
    assert np.abs(after - before).max() < 1e-6 * np.abs(moved).max()
    assert types_of(back) == types_of(f32_base)


def test_two_adapters_are_the_sum(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    both, one, then = (tmp_path / f"{name}.gguf" for name in ("both", "one", "then"))
    first, second = Member(adapters[0], 0.5), Member(adapters[1], 1.5)
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
    report = merge(demo_base, [Member(LEGAL, 0.5, "legal")], out, Options(threads=1))
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

    report = merge(demo_base, [Member(LEGAL)], out, UNVERIFIED, announce=announce)
    [(trade, files)] = seen
    assert files == []
    assert trade == report.trade
    assert trade.base_bytes == demo_base.stat().st_size
    assert trade.merged_bytes == pytest.approx(out.stat().st_size, rel=0.01)


def test_stopping_at_the_price_leaves_nothing(demo_base: Path, tmp_path: Path) -> None:
    def refuse(trade: Trade) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(demo_base, [Member(LEGAL)], tmp_path / "out.gguf", UNVERIFIED, announce=refuse)
    assert list(tmp_path.iterdir()) == []


# --- what is refused


def test_same_is_refused_where_less_than_half_would_be_left(quantized: Callable[[str], Path], tmp_path: Path) -> None:
    base, out = quantized("Q4_0"), tmp_path / "out.gguf"
    weak = write_adapter(tmp_path / "weak.gguf", base, strength=0.01).path
    with pytest.raises(MergeError, match=r"only about \d+% of the adapter would be left") as refused:
        merge(base, [Member(weak)], out, Options("same", verify=False, threads=1))
    assert "--precision auto" in refused.value.hint
    assert not out.exists()
    report = merge(base, [Member(weak)], out, Options("same", verify=False, force=True, threads=1))
    assert report.adapter_kept < 0.5
    assert merge(base, [Member(weak)], out, UNVERIFIED).adapter_kept > 0.9


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("missing base", GGUFError, "no such file"),
        ("missing adapter", EdgeloraError, "none.gguf"),
        ("base as adapter", EdgeloraError, "adapter"),
        ("misfit", EdgeloraError, "attn_q"),
        ("out is base", MergeError, "one of the files that are merged"),
        ("out is adapter", MergeError, "one of the files that are merged"),
        ("no folder", MergeError, "cannot be written"),
        ("source is quantized", MergeError, "quantized itself"),
        ("source is a folder", MergeError, "no folder of a model"),
        ("nothing", MergeError, "no adapter"),
    ],
)
def test_bad_inputs_are_one_error_and_leave_nothing(
    demo_base: Path, tmp_path: Path, what: str, error: type[EdgeloraError], said: str
) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(demo_base.read_bytes())
    adapter = write_adapter(tmp_path / "adapter.gguf", base).path
    other = narrower_adapter(tmp_path / "other.gguf", base)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    out, missing = tmp_path / "out.gguf", tmp_path / "none.gguf"
    arguments: dict[str, tuple[Path, list[Path], Path, Path | None]] = {
        "missing base": (missing, [adapter], out, None),
        "missing adapter": (base, [missing], out, None),
        "base as adapter": (base, [base], out, None),
        "misfit": (base, [other], out, None),
        "out is base": (base, [adapter], base, None),
        "out is adapter": (base, [adapter], adapter, None),
        "no folder": (base, [adapter], tmp_path / "no" / "out.gguf", None),
        "source is quantized": (base, [adapter], out, base),
        "source is a folder": (base, [adapter], out, tmp_path),
        "nothing": (base, [], out, None),
    }
    path, members, target, source = arguments[what]
    with pytest.raises(error, match=said):
        merge(path, [Member(member) for member in members], target, Options(source=source, threads=1))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written_is_said_before_the_work(demo_base: Path, tmp_path: Path) -> None:
    def work(progress: Progress) -> None:
        pytest.fail(f"it was {progress.stage}")

    with pytest.raises(MergeError, match="this is a folder"):
        merge(demo_base, [Member(LEGAL)], tmp_path, UNVERIFIED, report=work)


def test_a_file_of_an_adapters_folder_is_not_written_over(tmp_path: Path) -> None:
    folder = peft_source(Shape()).save(tmp_path / "mine")
    weights = folder / "adapter_model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(MergeError, match="one of the files that are merged"):
        merge(write_base(tmp_path / "base.gguf", Shape()), [Member(folder)], weights, UNVERIFIED)
    assert weights.read_bytes() == before


@pytest.mark.parametrize("precision", ["auto", "q6_k"])
@pytest.mark.parametrize("broken", ["adapter", "product", "base"])
def test_values_that_are_no_numbers_are_one_error(
    f32_base: Path, tmp_path: Path, broken: str, precision: Precision
) -> None:
    base, name = tmp_path / "base.gguf", "blk.0.ffn_up.weight"
    base.write_bytes(f32_base.read_bytes())
    info = read_header(base).tensors[name]
    fill = {"adapter": np.nan, "product": 3e38, "base": 1.0}[broken]

    def extra(writer: GGUFWriter) -> None:
        writer.add_tensor(f"{name}.lora_a", np.full((4, info.shape[0]), fill, np.float32))
        writer.add_tensor(f"{name}.lora_b", np.full((info.shape[1], 4), fill, np.float32))

    adapter = write_adapter(tmp_path / "adapter.gguf", base, targets=(), extra=extra).path
    if broken == "base":
        with base.open("r+b") as file:
            file.seek(info.offset)
            file.write(b"\xff" * info.nbytes)
    with pytest.raises(MergeError, match=r"ffn_up.*not finite") as refused:
        merge(base, [Member(adapter, 2.0)], tmp_path / "out.gguf", Options(precision, verify=False, threads=1))
    assert "--precision" not in refused.value.hint
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("stage", ["writing", "verifying"])
@pytest.mark.parametrize("which", ["base", "adapter"])
def test_a_file_that_is_replaced_meanwhile_is_one_error(
    demo_base: Path, tmp_path: Path, which: str, stage: str
) -> None:
    base, adapter = tmp_path / "base.gguf", tmp_path / "adapter.gguf"
    base.write_bytes(demo_base.read_bytes())
    adapter.write_bytes(LEGAL.read_bytes())
    replaced = {"base": base, "adapter": adapter}[which]
    newer = tmp_path / "newer.gguf"
    newer.write_bytes(replaced.read_bytes())

    def download_again(progress: Progress) -> None:
        if progress.stage == stage and newer.exists():
            newer.replace(replaced)

    with pytest.raises(MergeError, match=rf"{which}\.gguf: it was changed or replaced"):
        merge(base, [Member(adapter)], tmp_path / "out.gguf", Options(threads=1), report=download_again)
    assert sorted(tmp_path.iterdir()) == [adapter, base]


def test_names_need_not_be_text(demo_base: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    base, adapter = folder / "base.gguf", folder / "a b\n\N{GRINNING FACE}.gguf"
    base.write_bytes(demo_base.read_bytes())
    adapter.write_bytes(LEGAL.read_bytes())
    assert merge(base, [Member(adapter)], folder / "out.gguf", Options(threads=1)).verdict == "passed"


def narrower_adapter(path: Path, base: Path) -> Path:
    """For a base whose tensors are narrower."""
    header = read_header(base)

    def extra(writer: GGUFWriter) -> None:
        info = header.tensors["blk.0.attn_q.weight"]
        writer.add_tensor("blk.0.attn_q.weight.lora_a", np.ones((4, info.shape[0] // 2), np.float32))
        writer.add_tensor("blk.0.attn_q.weight.lora_b", np.ones((info.shape[1] // 2, 4), np.float32))

    return write_adapter(path, base, targets=("attn_k",), extra=extra).path


# --- killed


def assert_killed_leaves_no_incomplete_file(base: Path, tmp_path: Path, times: int) -> None:
    out = tmp_path / "out.gguf"
    chance = random.Random(4)
    lived = 0
    for _ in range(times):
        out.unlink(missing_ok=True)
        lived += kill_at_random(base, out, chance)
        if out.exists():
            header = read_header(out)
            assert json.loads(header.get(REPORT_KEY, ""))["adapter_kept"] > 0.9
            assert all(np.isfinite(values_of(out, name)).all() for name in header.tensors)
    assert lived < times  # some were really killed at work
    merge(base, [Member(LEGAL)], out, UNVERIFIED)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]  # what the dead left is gone


def kill_at_random(base: Path, out: Path, chance: random.Random) -> bool:
    """Merge in a process and kill it some time after it began to write; whether it had ended before."""
    command = [sys.executable, "-m", "edgelora.cli", "merge", "--base", base, "--adapter", LEGAL, "-o", out]
    process = subprocess.Popen(
        [*map(str, command), "--no-verify"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    while process.poll() is None and not any(out.parent.glob(".out.gguf.*")):
        time.sleep(0.001)
    time.sleep(chance.random() * 0.2)
    process.kill()
    return process.wait() == 0


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}"}


def test_killed_at_any_moment_no_incomplete_file_has_the_name(f32_base: Path, tmp_path: Path) -> None:
    assert_killed_leaves_no_incomplete_file(f32_base, tmp_path, 3)


@pytest.mark.slow
def test_killed_twenty_times(f32_base: Path, tmp_path: Path) -> None:
    assert_killed_leaves_no_incomplete_file(f32_base, tmp_path, 20)
