"""Folders that Transformers saves, as sources of GGUFs of the same models: every quantized tensor, value for value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.exports import Pair, export, fused, model_of, tied
from support.families import balanced_experts, dense, experts, gemma4, layer_norms, recurrent, state_space, vision
from support.families import fused as fused_families
from support.streaming import rounded, values_of, write

from edgelora.gguf.reader import read_header
from edgelora.merge.base import read_base
from edgelora.merge.layout import Rewrite, plan_layout
from edgelora.merge.mixes import MIXES, mixed_types
from edgelora.merge.source_base import read_source
from edgelora.merge.source_folder import Arranged
from edgelora.native.quantize import dequantize

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.train, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

MODULES = (*(dense, layer_norms, fused_families, experts, balanced_experts, recurrent, state_space, gemma4, vision),)
PAIRS = [pair for module in MODULES for pair in module.PAIRS]
TIED = [tied(pair) for pair in dense.PAIRS if str(pair) in ("llama", "qwen2", "qwen3")]

NOT_IN_GGUFS = {("lfm2moe", "output.weight")}
"""What llama.cpp's converter does not write, and so has no name for."""


def quantized_names(path: Path) -> list[str]:
    """The tensors that llama-quantize gives another type."""
    types = mixed_types(MIXES["q8_0"], read_header(path))
    return [name for name, info in read_header(path).tensors.items() if types[name] != info.type_name]


def check(pair: Pair, tmp_path: Path, *, fuse: bool = False) -> None:
    model = model_of(pair)
    model.save_pretrained(tmp_path / "folder")
    unquantized = export(tmp_path / "f32.gguf", pair, model, fused if fuse else dict)
    opened = read_base(unquantized)
    names = [name for name in quantized_names(unquantized) if (pair.arch, name) not in NOT_IN_GGUFS]
    assert len(names) > 4
    halves = [Rewrite(opened.tensors[name], "F16", None, rounded("F16")) for name in names]
    base = read_base(write(plan_layout(opened, halves, {}), tmp_path / "base.gguf"))
    source = read_source(tmp_path / "folder", base, names)
    for name in names:
        tensor = source.tensors[name]
        assert isinstance(tensor, Arranged), name
        values = dequantize("F32", tensor.rows(0, tensor.n_rows))
        np.testing.assert_array_equal(values.reshape(-1), values_of(unquantized, name).reshape(-1), err_msg=name)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_a_saved_model_holds_what_its_gguf_was_made_of(tmp_path: Path, pair: Pair) -> None:
    check(pair, tmp_path)


@pytest.mark.parametrize("pair", TIED, ids=str)
def test_of_a_model_with_one_matrix_for_input_and_output(tmp_path: Path, pair: Pair) -> None:
    check(pair, tmp_path)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if str(pair) in ("llama", "qwen3moe/packed")], ids=str)
def test_of_a_gguf_with_fused_matrices(tmp_path: Path, pair: Pair) -> None:
    check(pair, tmp_path, fuse=True)
