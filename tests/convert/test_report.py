"""What a conversion tells: how large the change is, what llama.cpp ignores, what does not fit together."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert import norms
from edgelora_convert.convert import convert
from edgelora_convert.norms import base_norm, product_norm
from edgelora_convert.options import Options
from edgelora_convert.report import Change, ConversionReport, Spread, TargetReport
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st
from support import raw_gguf as raw
from support.peft_folders import Shape, peft_source, random_tensors, write_base

from edgelora.gguf.ggml_types import GGML_TYPES
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from edgelora.gguf.header import Header

QWEN = Shape(arch="qwen2")
EXACT = Options(exact_norms=True)
Q = "model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base.gguf", QWEN)


def tensors_file(path: Path, **tensors: tuple[np.ndarray, str]) -> Header:
    """A GGUF with these values, stored in the named types."""
    writer = GGUFWriter(path, "llama")
    for name, (values, type_name) in tensors.items():
        kind = GGMLQuantizationType[type_name]
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return read_header(path)


# --- how large the change is


@given(
    rank=st.integers(1, 12),
    n_in=st.integers(1, 40),
    n_out=st.integers(1, 40),
    n_stack=st.sampled_from([(), (1,), (3,)]),
    exponent=st.integers(-18, 18),
    seed=st.integers(0, 1000),
)
def test_the_norm_of_a_product_is_exact(
    rank: int, n_in: int, n_out: int, n_stack: tuple[int, ...], exponent: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((*n_stack, rank, n_in)).astype(np.float32) * np.float32(10.0**exponent)
    b = rng.standard_normal((*n_stack, n_out, rank)).astype(np.float32)
    expected = np.sqrt(np.square(b.astype(np.float64) @ a.astype(np.float64)).sum())
    assert product_norm(a, b) == pytest.approx(expected, rel=1e-7)


def test_a_product_that_cancels_has_no_norm() -> None:
    a = np.random.default_rng(0).standard_normal((4, 30)).astype(np.float32)
    b = np.random.default_rng(1).standard_normal((20, 4)).astype(np.float32)
    assert product_norm(np.concatenate([a, a]), np.concatenate([b, -b], axis=1)) < 1e-6 * product_norm(a, b)


def test_a_long_factor_is_worked_through_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.random.default_rng(0).standard_normal((4, 1001)).astype(np.float32)
    b = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32)
    whole = product_norm(a, b)
    monkeypatch.setattr(norms, "_CHUNK_VALUES", 64)
    assert product_norm(a, b) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("multiple", [1, -0.25])
def test_a_factor_that_is_the_identity(multiple: float) -> None:
    rng = np.random.default_rng(0)
    identity, other = np.float32(multiple) * np.eye(7, dtype=np.float32), rng.standard_normal((9, 7), np.float32)
    expected = float(np.linalg.norm(multiple * other.astype(np.float64)))
    assert product_norm(identity, other) == pytest.approx(expected, rel=1e-12)
    assert product_norm(other.T, identity) == pytest.approx(expected, rel=1e-12)
    nearly = identity.copy()
    nearly[0, 1] = 1
    assert product_norm(nearly, other) == pytest.approx(float(np.linalg.norm(other @ nearly)), rel=1e-6)


def test_the_norm_of_a_large_change_of_full_rank_takes_no_time() -> None:
    values = np.ones((2048, 2048), np.float32)
    start = time.process_time()
    assert product_norm(np.eye(2048, dtype=np.float32), values) == 2048
    assert time.process_time() - start < 1


@pytest.mark.parametrize(("n_in", "n_out"), [(3, 200), (200, 3)])
def test_a_rank_beyond_all_sense_takes_no_more_room_than_the_factors(n_in: int, n_out: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((20_000, n_in), np.float32), rng.standard_normal((n_out, 20_000), np.float32)
    tracemalloc.start()
    found = product_norm(a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == pytest.approx(np.linalg.norm(b.astype(np.float64) @ a), rel=1e-9)
    assert peak < 2 * (a.nbytes + b.nbytes) + (1 << 20)


@pytest.mark.parametrize("type_name", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("shape", [(500, 64), (7, 40, 64), (10, 64)], ids=["matrix", "stack", "few rows"])
def test_the_norm_of_a_base_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_name: str, shape: tuple[int, ...]
) -> None:
    """The estimate is the norm of 64 rows scaled up, and may not be told from the norm where rows are alike."""
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    header = tensors_file(tmp_path / "x.gguf", w=(values, type_name))
    kind = GGMLQuantizationType[type_name]
    stored = dequantize(quantize(values, kind), kind).astype(np.float64)
    expected = np.sqrt(np.square(stored).sum())
    monkeypatch.setattr(norms, "_CHUNK_VALUES", 1000)
    assert base_norm(header, header.tensors["w"], exact=True) == pytest.approx(expected, rel=1e-6)
    estimate = base_norm(header, header.tensors["w"], exact=False)
    assert estimate == pytest.approx(expected, rel=0.05 if stored.size > 64 * 64 else 1e-6)


def test_an_estimate_reads_64_rows_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    real = norms.tensor_rows

    def spy(header: Header, info: object, rows: list[int]) -> np.ndarray:
        read.extend(rows)
        return real(header, info, rows)  # type: ignore[arg-type]

    monkeypatch.setattr(norms, "tensor_rows", spy)
    header = tensors_file(tmp_path / "x.gguf", w=(np.ones((3, 1000, 32), np.float32), "F32"))
    base_norm(header, header.tensors["w"], exact=False)
    assert len(set(read)) == 64
    assert set(np.diff(read)) <= {3000 // 64, 3000 // 64 + 1}
    assert (read[0] < 47, read[-1] > 3000 - 47) == (True, True)
    read.clear()
    base_norm(header, header.tensors["w"], exact=True)
    assert read == list(range(3000))


def test_values_that_cannot_be_decoded_have_no_norm(tmp_path: Path) -> None:
    header = tensors_file(tmp_path / "x.gguf", w=(np.full((4, 32), np.inf, np.float32), "F32"))
    assert base_norm(header, header.tensors["w"], exact=True) is None
    unknown = next(kind for kind in GGML_TYPES.values() if kind.name == "Q1_0")
    tensor = raw.Tensor("w", (unknown.block_size, 4), unknown.id)
    header = read_header(raw.write(tmp_path / "y.gguf", raw.encode(tensors=(tensor,), data=bytes(1024))))
    assert base_norm(header, header.tensors["w"], exact=False) is None


def test_every_adapted_tensor_is_measured(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, use_rslora=True)
    report = convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf", options=EXACT)
    a, b = source.factors(Q)
    change = report.targets[0].changes[0]
    weight = random_tensors(QWEN)["blk.0.attn_q.weight"]
    assert change.tensor == "blk.0.attn_q.weight"
    assert change.norm == pytest.approx(16 / 8**0.5 * np.linalg.norm(b.astype(float) @ a), rel=1e-6)
    assert change.base_norm == pytest.approx(np.linalg.norm(weight), rel=1e-6)
    assert change.relative == pytest.approx(change.norm / np.linalg.norm(weight), rel=1e-6)
    for target in report.targets:
        ratios = [change.relative for change in target.changes]
        spread = target.relative_change
        assert spread is not None
        assert (spread.least, spread.median, spread.most) == (min(ratios), np.mean(ratios), max(ratios))
    assert report.exact_norms


def test_a_weight_that_another_tensor_scales_has_no_norm_here(tmp_path: Path) -> None:
    ones = np.ones((4, 32), np.float32)
    header = tensors_file(tmp_path / "x.gguf", **{"a.weight": (ones, "F32"), "a.scale": (ones[0, :1], "F32")})
    assert base_norm(header, header.tensors["a.weight"], exact=True) is None


def test_every_field_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "convert.md").read_text("utf-8")
    for kind in (ConversionReport, TargetReport, Change, Spread):
        for field in fields(kind):
            assert re.search(rf"`[\w\[\].]*\b{field.name}`", documented), field.name


def test_the_report_is_plain_json(base: Path, tmp_path: Path) -> None:
    report = convert(peft_source(QWEN).save(tmp_path / "p"), base, tmp_path / "out.gguf")
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["exact_norms"] is False
    assert set(told["targets"][0]) == {"target", "layers", "ranks", "scales", "ignored", "relative_change", "changes"}
    assert told["targets"][0]["changes"][1]["tensor"] == "blk.1.attn_q.weight"
    assert set(told["targets"][0]["relative_change"]) == {"least", "median", "most"}
