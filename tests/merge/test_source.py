"""Merging from the unquantized base: a GGUF, or a folder of Transformers."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.adapters import write_adapter
from support.peft_folders import Shape, peft_source
from support.quantized import write_quantized
from support.streaming import rounded, tensors_of, values_of, write

from edgelora.errors import MergeError
from edgelora.gguf.reader import read_header
from edgelora.merge.base import Base, read_base
from edgelora.merge.layout import Rewrite, plan_layout
from edgelora.merge.merge import merge
from edgelora.merge.options import MergeMember, Options
from edgelora.merge.source_base import read_source
from edgelora.merge.source_file import source_file
from edgelora.merge.source_folder import Arranged
from edgelora.merge.untied import untied
from edgelora.native.quantize import dequantize, quantize
from edgelora.types import ignore_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora.merge.options import Precision
    from edgelora.merge.readable import Readable

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "models" / "source" / "base"
"""The demo's base as Transformers saves it, in F16, with one matrix for input and output."""

Q, UP = "blk.0.attn_q.weight", "blk.0.ffn_up.weight"
HF_Q, HF_UP = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="session")
def base(f32_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's base in Q4_K."""
    return write_quantized(tmp_path_factory.mktemp("base") / "q4.gguf", f32_base, "Q4_K")


def values(tensor: Readable) -> np.ndarray:
    """All of a tensor, read in uneven pieces."""
    starts = range(0, tensor.n_rows, 77)
    raw = [tensor.rows(start, min(77, tensor.n_rows - start)) for start in starts]
    return dequantize(tensor.type_name, np.concatenate(raw)).reshape(-1)


def folder_of(path: Path, tensors: dict[str, np.ndarray] | None = None, **config: Any) -> Path:
    """The demo's folder with some tensors replaced, and fields added to its configuration."""
    path.mkdir()
    fields = json.loads((FOLDER / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(fields | config))
    save_file(load_file(FOLDER / "model.safetensors") | (tensors or {}), path / "model.safetensors")
    return path


def original(name: str) -> np.ndarray:
    return np.array(load_file(FOLDER / "model.safetensors")[name])


# --- what a folder gives


def test_every_tensor_is_that_of_the_unquantized_gguf(base: Path, f32_base: Path) -> None:
    opened = read_base(base)
    source = read_source(FOLDER, opened, list(opened.tensors))
    assert (source.files, source.is_gguf) == ((FOLDER / "model.safetensors",), False)
    for name, tensor in source.tensors.items():
        assert isinstance(tensor, Arranged) == (opened.tensors[name].type_name == "Q4_K")
        np.testing.assert_array_equal(values(tensor), values_of(f32_base, name).reshape(-1), err_msg=name)


@pytest.mark.parametrize("precision", ["q8_0", "auto"])
def test_a_folder_is_as_good_as_a_gguf_of_it(
    demo_base: Path, f32_base: Path, tmp_path: Path, precision: Precision
) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf", demo_base, targets=("attn_q", "attn_k")).path
    for name, source in (("gguf", f32_base), ("folder", FOLDER)):
        options = Options(precision, source=source, verify=False, threads=1)
        merge(demo_base, [MergeMember(adapter)], tmp_path / f"{name}.gguf", options)
    from_folder = tensors_of(tmp_path / "folder.gguf")
    assert from_folder == tensors_of(tmp_path / "gguf.gguf")
    assert from_folder[Q] != tensors_of(demo_base)[Q]


def test_a_model_in_parts_is_one(base: Path, f32_base: Path, tmp_path: Path) -> None:
    tensors = load_file(FOLDER / "model.safetensors")
    shutil.copy(FOLDER / "config.json", tmp_path)
    names = [sorted(tensors)[0::2], sorted(tensors)[1::2]]
    for number, part in enumerate(names):
        save_file({name: tensors[name].astype(np.float32) for name in part}, tmp_path / f"part-{number}.safetensors")
    placed = {name: f"part-{number}.safetensors" for number, part in enumerate(names) for name in part}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    source = read_source(tmp_path, read_base(base), [Q, UP])
    assert len(source.files) == 2
    for name, tensor in source.tensors.items():
        np.testing.assert_array_equal(values(tensor), values_of(f32_base, name).reshape(-1))


def test_a_base_that_holds_one_matrix_twice_gets_it_twice(base: Path, f32_base: Path, tmp_path: Path) -> None:
    opened = read_base(base)
    output = untied(opened).tensors["output.weight"]
    copied = Rewrite(output, output.type_name, None, lambda first, values, old: old)
    twice = read_base(write(plan_layout(opened, [copied], {}), tmp_path / "base.gguf"))
    assert "output.weight" in twice.tensors
    source = read_source(FOLDER, twice, ["output.weight"])
    np.testing.assert_array_equal(
        values(source.tensors["output.weight"]), values_of(f32_base, "token_embd.weight").reshape(-1)
    )


def test_an_output_that_the_base_gets_is_made_of_the_source(demo_base: Path, f32_base: Path, tmp_path: Path) -> None:
    """The demo has one matrix for input and output, of which the adapter changes one side."""
    adapter = peft_source(Shape(), ())
    adapter.add("lm_head", 8, np.random.default_rng(0), 2048, 256)
    member = MergeMember(adapter.save(tmp_path / "adapter"), 0.1)
    for name, source in (("gguf", f32_base), ("folder", FOLDER)):
        merge(demo_base, [member], tmp_path / f"{name}.gguf", Options(source=source, verify=False, threads=1))
    a, b = adapter.factors("lm_head")
    expected = values_of(f32_base, "token_embd.weight") + 0.1 * 16 / 8 * (b @ a)
    stored = quantize("Q8_0", expected.astype(np.float32))
    merged = tensors_of(tmp_path / "folder.gguf")
    assert np.mean(np.frombuffer(merged["output.weight"], np.uint8) != stored.reshape(-1)) < 0.001  # the last bits
    assert merged == tensors_of(tmp_path / "gguf.gguf")
    assert merged["token_embd.weight"] == tensors_of(demo_base)["token_embd.weight"]


def test_what_the_merge_does_not_need_may_be_missing(demo_base: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", {HF_UP: np.zeros((3, 3), np.float16)})
    adapter = write_adapter(tmp_path / "adapter.gguf", demo_base, targets=("attn_q",)).path
    merge(demo_base, [MergeMember(adapter)], tmp_path / "out.gguf", Options(source=folder, verify=False, threads=1))
    everything = Options("q6_k", source=folder, verify=False, threads=1)
    with pytest.raises(MergeError, match="ffn_up"):
        merge(demo_base, [MergeMember(adapter)], tmp_path / "out.gguf", everything)


# --- as a file for the verification


def test_a_folder_becomes_a_file_for_as_long_as_it_is_needed(base: Path, tmp_path: Path) -> None:
    opened = read_base(base)
    source = read_source(FOLDER, opened, [Q])
    with source_file(source, opened, tmp_path / "out.gguf", threads=1, report=ignore_progress) as path:
        made = read_header(path).tensors
        assert {name: info.type_name for name, info in made.items() if info.type_name != "F32"} == {
            name: "F16" if name == Q else "Q4_K" for name, tensor in opened.tensors.items() if len(tensor.shape) > 1
        }
        np.testing.assert_array_equal(values_of(path, Q).reshape(-1), values(source.tensors[Q]))
    assert os.listdir(tmp_path) == []


def test_a_gguf_is_that_file_itself(base: Path, f32_base: Path, tmp_path: Path) -> None:
    opened = read_base(base)
    source = read_source(f32_base, opened, [Q])
    with source_file(source, opened, tmp_path / "out.gguf", threads=1, report=ignore_progress) as path:
        assert path == f32_base
    assert f32_base.exists()


@pytest.mark.slow
def test_a_merge_from_a_folder_is_verified_like_one_from_a_gguf(base: Path, tmp_path: Path) -> None:
    legal, out = ROOT / "models" / "adapters" / "legal.gguf", tmp_path / "out.gguf"
    report = merge(base, [MergeMember(legal)], out, Options(source=FOLDER, threads=1))
    assert report.against_source is not None
    assert report.verdict == "passed"
    assert report.against_source.kl_merged < 0.9 * report.against_source.kl_at_run_time
    assert os.listdir(tmp_path) == ["out.gguf"]


# --- what is refused


def rows_of_a_gguf(weight: np.ndarray) -> np.ndarray:
    """Rotary pairs side by side, as in a GGUF: the order that the folder must not have."""
    return np.ascontiguousarray(weight.reshape(4, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape))


def fine_tuned(weight: np.ndarray, by: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(weight.shape)
    return (weight + by * np.linalg.norm(weight) / np.linalg.norm(noise) * noise).astype(weight.dtype)


def not_finite(weight: np.ndarray) -> np.ndarray:
    return np.full_like(weight, np.nan)


def transposed(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.T)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            rows_of_a_gguf,
            r"not the model that the base was made of: the values of blk.0.attn_q.weight are 1\d\d\.\d % away",
        ),
        (transposed, r"attn_q.weight are 14\d\.\d % away from the base's, of which Q4_K explains [5-9]\.\d %"),
        (lambda weight: fine_tuned(weight, 0.2), r"attn_q.weight are 2\d\.\d % away"),
        (not_finite, "attn_q.weight holds values that are not finite"),
        (
            lambda weight: weight[:-1].copy(),
            r"blk.0.attn_q.weight of the base was not found in it \(.* the base has 256 and 256",
        ),
        (
            lambda weight: weight.astype(np.int8),
            rf"blk.0.attn_q.weight of the base was not found in it \({HF_Q} is I8\)",
        ),
    ],
    ids=["wrong order", "transposed", "fine-tuned", "not finite", "other shape", "integers"],
)
def test_tensors_that_are_not_the_bases(
    base: Path, tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    folder = folder_of(tmp_path / "folder", {HF_Q: change(original(HF_Q))})
    with pytest.raises(MergeError, match=said) as refused:
        read_source(folder, read_base(base), [Q])
    assert str(folder) in refused.value.message
    assert "convert_hf_to_gguf.py" in refused.value.hint or "finite" in said
    read_source(folder, read_base(base), [UP])  # the others are


def test_a_gguf_of_another_fine_tune(base: Path, f32_base: Path, tmp_path: Path) -> None:
    opened = read_base(f32_base)

    def other(first: int, rows: np.ndarray, old: np.ndarray) -> np.ndarray:
        return rounded("F16")(first, fine_tuned(rows, 0.2), old)

    changed = Rewrite(opened.tensors[Q], "F16", None, other)
    source = write(plan_layout(opened, [changed], {}), tmp_path / "source.gguf")
    with pytest.raises(MergeError, match=r"attn_q.weight are 2\d\.\d % away") as refused:
        read_source(source, read_base(base), [Q])
    assert "no other fine-tune" in refused.value.hint
    assert "convert_hf_to_gguf" not in refused.value.hint


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantized itself \(with gptq\)"),
        ({"quantization": {"group_size": 64, "bits": 4}}, r"quantized itself \(quantization in config.json\)"),
    ],
)
def test_folders_that_are_quantized(base: Path, tmp_path: Path, config: dict[str, Any], said: str) -> None:
    with pytest.raises(MergeError, match=said):
        read_source(folder_of(tmp_path / "folder", **config), read_base(base), [Q])


def test_folders_that_are_no_models(base: Path, tmp_path: Path) -> None:
    def refused(said: str) -> None:
        with pytest.raises(MergeError, match=said) as error:
            read_source(tmp_path, read_base(base), [Q])
        assert str(tmp_path) in error.value.message
        assert error.value.hint or "download" in error.value.message

    refused("config.json cannot be read")
    shutil.copy(FOLDER / "config.json", tmp_path)
    refused("neither model.safetensors nor model.safetensors.index.json")
    index = tmp_path / "model.safetensors.index.json"
    for weight_map in (None, [], {}, {HF_Q: 3}):
        index.write_text(json.dumps({"weight_map": weight_map}))
        refused("names no parts")
    index.write_text(json.dumps({"weight_map": {HF_Q: "a.safetensors", HF_UP: "../b.safetensors"}}))
    refused("parts are missing: ../b.safetensors, a.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    refused("model.safetensors cannot be used: it is damaged or incomplete")


def test_an_architecture_whose_layout_is_unknown(base: Path) -> None:
    opened = read_base(base)
    metadata = {
        key.replace("llama.", "rwkv6."): "rwkv6" if value == "llama" else value
        for key, value in opened.header.metadata.items()
    }
    other = Base(opened.parts, replace(opened.header, metadata=metadata), opened.tensors)
    with pytest.raises(MergeError, match="rwkv6") as refused:
        read_source(FOLDER, other, [Q])
    assert "convert_hf_to_gguf.py" in refused.value.hint


def test_rows_that_two_tensors_give(base: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "folder", {HF_Q.removeprefix("model."): original(HF_Q)})
    with pytest.raises(MergeError, match=r"do not give every row of blk.0.attn_q.weight once"):
        read_source(folder, read_base(base), [Q])
