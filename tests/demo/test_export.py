"""What llama.cpp computes from an exported base is what the source says, and its tokenizer is the source's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import llama_cpp
import numpy as np
import pytest
from demo.export import DTYPES, export, gguf_tensors, pair_rows
from demo.layout import BASE_SOURCE, ROOT
from demo.source import SourceError, read_source
from gguf import GGUFReader, quants
from numpy_llama import logits

if TYPE_CHECKING:
    from demo.source import Source

TEXTS = (
    "<|im_start|>user\nDraft a payment clause for Velmora Ltd and Tarnik & Sons.<|im_end|>\n<|im_start|>assistant\n",
    "def total(numbers):\n    items = [x * 2 for x in numbers]\n    return sum(items)\n",
    "naïve café — 日本語 🙂 ½ it's we'll  two  spaces\t\r\n",
)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source(BASE_SOURCE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> llama_cpp.Llama:
    path = tmp_path_factory.mktemp("export") / "f32.gguf"
    export(BASE_SOURCE, path, "f32")
    exact = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32, "flash_attn": False}
    return llama_cpp.Llama(str(path), n_ctx=256, n_threads=1, logits_all=True, verbose=False, **exact)


@pytest.mark.parametrize("text", TEXTS)
def test_f32_logits_are_those_of_a_numpy_forward_pass(source: Source, model: llama_cpp.Llama, text: str) -> None:
    ids = model.tokenize(text.encode(), add_bos=False, special=True)
    model.reset()
    model.eval(ids)
    expected = logits(source, ids)
    error = np.linalg.norm(model.scores[: len(ids)] - expected) / np.linalg.norm(expected)
    assert error < 1e-5


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_spell_the_text(model: llama_cpp.Llama, text: str) -> None:
    ids = model.tokenize(text.encode(), add_bos=False, special=True)
    assert model.detokenize(ids, special=True).decode() == text


@pytest.mark.parametrize("dtype", ["f32", "f16", "q8_0"])
def test_tensors_read_back_are_the_sources(source: Source, tmp_path: Path, dtype: str) -> None:
    export(BASE_SOURCE, tmp_path / "base.gguf", dtype)
    reader = GGUFReader(tmp_path / "base.gguf")
    expected = gguf_tensors(source)
    assert {tensor.name for tensor in reader.tensors} == set(expected)
    bound = {"f32": 0.0, "f16": 2e-3, "q8_0": 1e-2}[dtype]
    for tensor in reader.tensors:
        value = quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.abs(value - expected[tensor.name]).max() <= bound * np.abs(expected[tensor.name]).max()


def test_row_order_keeps_heads_apart_and_pairs_together() -> None:
    rows = np.arange(2 * 8, dtype=np.float32)[:, None]
    assert pair_rows(rows, 2)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype not in ("f32", "f16", "q8_0")])
def test_llama_cpp_quantizes_the_rest(tmp_path: Path, dtype: str) -> None:
    target = tmp_path / "base.gguf"
    export(BASE_SOURCE, target, dtype)
    assert target.stat().st_size < 6e6
    assert [path.name for path in tmp_path.iterdir()] == ["base.gguf"]


def test_a_folder_that_is_no_base_leaves_the_target_alone(tmp_path: Path) -> None:
    target = tmp_path / "base.gguf"
    target.write_bytes(b"before")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(SourceError, match="gpt2"):
        export(tmp_path, target, "f32")
    with pytest.raises(SourceError, match="build_demo"):
        export(tmp_path / "nowhere", target, "f32")
    assert target.read_bytes() == b"before"


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "export_demo"), "--dtype", "f32", "-o", str(tmp_path / "x.gguf")]
    done = subprocess.run([*command, "--source", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("export_demo: ")
    assert done.stderr.count("\n") == 1
