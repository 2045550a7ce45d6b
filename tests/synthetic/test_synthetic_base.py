"""Synthetic bases: valid blocks, a vocabulary for every text, the shapes they are named after."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from hypothesis import given, settings
from hypothesis import strategies as st
from support.logits import native_rows, relative_error
from synthetic.blocks import random_tensor
from synthetic.shapes import SHAPES, Shape, tensor_plans
from synthetic.write import write_adapters, write_base

from edgelora.errors import UsageError
from edgelora.gguf.facts import AdapterFacts, BaseFacts
from edgelora.gguf.fit import require_fit
from edgelora.gguf.reader import read_header
from edgelora.native.model import Model

SMALL = Shape("small", hidden=256, layers=3, heads=4, kv_heads=2, ff=512, vocab=4096, tied=True)
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "synthetic_base"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "small.gguf"
    write_base(path, SMALL, seed=0)
    return path


@pytest.mark.parametrize("type_name", ["Q4_K", "Q6_K", "Q5_0", "Q8_0"])
def test_blocks_have_the_deviation_asked_for(type_name: str) -> None:
    raw = random_tensor((256, 1024), type_name, 0.05, np.random.default_rng(0))
    values = dequantize(raw, GGMLQuantizationType[type_name])
    assert values.shape == (256, 1024)
    assert values.std() == pytest.approx(0.05, rel=0.03)
    assert abs(values.mean()) < 0.001


@pytest.mark.parametrize(("name", "billions"), [("0.5b", 0.494), ("1.5b", 1.544), ("3b", 3.086), ("7b", 7.616)])
def test_shapes_have_the_size_of_their_models(name: str, billions: float) -> None:
    n_params = sum(int(np.prod(plan.shape)) for plan in tensor_plans(SHAPES[name]))
    assert n_params / 1e9 == pytest.approx(billions, abs=0.001)


def test_base_decodes_and_its_logits_are_usable(base: Path) -> None:
    facts = BaseFacts.of(read_header(base))
    assert (facts.arch, facts.quantization, facts.n_vocab, facts.tied) == ("qwen2", "Q4_K_M", SMALL.vocab, True)
    rows = native_rows(base, [[1, 2, 3], [4]])
    assert np.isfinite(rows).all()
    assert 1 < rows.std() < 10


def test_the_same_seed_gives_the_same_file(base: Path, tmp_path: Path) -> None:
    write_base(tmp_path / "again.gguf", SMALL, seed=0)
    write_base(tmp_path / "other.gguf", SMALL, seed=1)
    assert (tmp_path / "again.gguf").read_bytes() == base.read_bytes() != (tmp_path / "other.gguf").read_bytes()


@pytest.fixture(scope="module")
def model(base: Path) -> Model:
    return Model(base)


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=40))
def test_every_text_survives_the_vocabulary(model: Model, text: str) -> None:
    tokens = model.tokenize(text, parse_special=False, add_special=False)
    assert b"".join(map(model.piece, tokens)) == text.encode("utf-8", "replace")


def test_frequent_words_take_few_tokens(model: Model) -> None:
    assert len(model.tokenize("the tests are in the other area", parse_special=False, add_special=False)) < 20


def test_adapters_fit_and_change_the_answer(base: Path, tmp_path: Path) -> None:
    one, two = write_adapters(tmp_path, base, 2, 4, ["q", "v", "ffn_down"], seed=0)
    for path in (one, two):
        require_fit(read_header(path), read_header(base))
    facts = AdapterFacts.of(read_header(one))
    assert (facts.max_rank, facts.dtype, facts.targets) == (4, "F16", ("attn_q", "attn_v", "ffn_down"))
    plain, first, second = (native_rows(base, [[1, 2, 3]], adapter) for adapter in (None, one, two))
    assert relative_error(first, plain) > 0.05
    assert relative_error(second, first) > 0.05


def test_targets_that_the_base_lacks(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tensors attn_qq"):
        write_adapters(tmp_path, base, 1, 4, ["attn_qq"], seed=0)


def test_command(base: Path, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)

    made = run("--adapters", "1", "--rank", "2", "--base", base, "-o", tmp_path / "adapters")
    assert (made.returncode, made.stderr) == (0, "")
    assert [path.name for path in (tmp_path / "adapters").iterdir()] == ["adapter-1-r2.gguf"]
    assert run("-o", tmp_path / "x.gguf").returncode == 2
    missing = run("--adapters", "1", "--base", tmp_path / "none.gguf", "-o", tmp_path / "y")
    assert missing.returncode == 1
    assert missing.stderr.startswith(f"{tmp_path / 'none.gguf'}: no such file\nGive the path of a GGUF file")
