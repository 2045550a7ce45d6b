"""Folders as sources of the GGUFs that llama.cpp's own converter makes of them, bit for bit in F16.

Needs a checkout of llama.cpp:
``EDGELORA_LLAMA_CPP=PATH scripts/test --train tests/merge/test_source_llama_cpp.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support import hf_to_gguf
from support.exports import model_of
from support.families import balanced_experts, dense, experts, fused, layer_norms, recurrent, state_space

from edgelora.merge.base import read_base
from edgelora.merge.source_base import read_source
from edgelora.merge.source_folder import Arranged
from edgelora.native.quantize import dequantize, quantize

if TYPE_CHECKING:
    from support.exports import Pair

CHECKOUT = Path(os.environ.get("EDGELORA_LLAMA_CPP", ""))

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(not (CHECKOUT / "conversion").is_dir(), reason="EDGELORA_LLAMA_CPP names no checkout"),
]

MODULES = (dense, layer_norms, fused, experts, balanced_experts, recurrent, state_space)
PAIRS = [pair for module in MODULES for pair in module.PAIRS]

NOT_CONVERTED_THERE = {
    "falcon (one key head)": "another order is taken for granted",
    "granitehybrid/packed": "the kinds of layers have new names, so attention is taken for a state space",
    "lfm2moe/packed": "an output of its own is not known",
    "mpt": "the class is not known",
    "gemma3": "a vocabulary is wanted",
    **dict.fromkeys(("gptneox", "gpt2", "cohere2", "hunyuan-moe/packed", "minimax-m2/packed"), "fields have new names"),
    **dict.fromkeys(("qwen3next", "qwen35", "qwen35moe"), "layers for multi-token prediction are wanted"),
}
CONVERTED = [pair for pair in PAIRS if str(pair) not in NOT_CONVERTED_THERE]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The models, each with its GGUF beside it."""
    root = tmp_path_factory.mktemp("models")
    found = {}
    for number, pair in enumerate(CONVERTED):
        found[str(pair)] = root / str(number)
        model_of(pair).save_pretrained(root / str(number))
    subprocess.run([sys.executable, hf_to_gguf.__file__, CHECKOUT, *found.values()], check=True, capture_output=True)
    return found


@pytest.mark.parametrize("pair", CONVERTED, ids=str)
def test_a_folder_holds_what_its_gguf_does(folders: dict[str, Path], pair: Pair) -> None:
    base = read_base(folders[str(pair)].with_suffix(".gguf"))
    names = [name for name, tensor in base.tensors.items() if tensor.type_name == "F16"]
    assert len(names) > 4
    source = read_source(folders[str(pair)], base, names)
    for name in names:
        tensor = source.tensors[name]
        assert isinstance(tensor, Arranged), name
        values = quantize("F16", dequantize("F32", tensor.rows(0, tensor.n_rows)))
        np.testing.assert_array_equal(values, base.tensors[name].rows(0, tensor.n_rows), err_msg=name)
