"""Converted factors against llama.cpp's own converter, bit for bit in F32, wherever that one is right.

Needs a checkout of llama.cpp:
``EDGELORA_LLAMA_CPP=PATH scripts/test --train tests/convert/test_llama_cpp_agreement.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from support.exports import Pair, export, model_of
from support.families import dense, experts, fused, layer_norms, recurrent
from support.peft_models import adapted

from edgelora.gguf.data import tensor_data
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from edgelora.gguf.header import Header

SCRIPT = Path(os.environ.get("EDGELORA_LLAMA_CPP", "")) / "convert_lora_to_gguf.py"

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(not SCRIPT.is_file(), reason="EDGELORA_LLAMA_CPP names no checkout of llama.cpp"),
]

FAMILIES = (*dense.PAIRS, *layer_norms.PAIRS, *fused.PAIRS, *experts.PAIRS, *recurrent.PAIRS)

REFUSED_THERE = {
    "falcon (one key head)": "the script takes the shape of a B for that of a weight",
    "mpt": "the script does not know the class",
    **dict.fromkeys(("qwen3next", "qwen35", "qwen35moe"), "the script wants layers for multi-token prediction"),
}

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def tensors(header: Header) -> dict[str, np.ndarray]:
    return {name: tensor_data(header, info) for name, info in header.tensors.items()}


def both_converted(pair: Pair, folder: Path) -> tuple[Header, Header]:
    """The adapter as edgelora and as llama.cpp converts it; of models with packed experts, the attention only."""
    model = model_of(pair)
    base = export(folder / "base.gguf", pair, model)
    config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(json.dumps(config, default=str))
    modules = ATTENTION if pair.parameters else pair.modules
    adapted(model, folder / "peft", r=4, lora_alpha=8, target_modules=modules)
    convert(folder / "peft", base, folder / "ours.gguf", "f32")
    arguments = ("--base", folder / "model", "--outtype", "f32", "--outfile", folder / "theirs.gguf", folder / "peft")
    subprocess.run([sys.executable, SCRIPT, *arguments], check=True, capture_output=True)
    return read_header(folder / "ours.gguf"), read_header(folder / "theirs.gguf")


COMPARED = [pair for pair in FAMILIES if str(pair) not in REFUSED_THERE and pair.arch != "gpt2"]


@pytest.mark.parametrize("pair", COMPARED, ids=str)
def test_the_factors_are_the_same(tmp_path: Path, pair: Pair) -> None:
    ours, theirs = both_converted(pair, tmp_path)
    found, expected = tensors(ours), tensors(theirs)
    assert found.keys() == expected.keys()
    assert ours.metadata["adapter.lora.alpha"] == theirs.metadata["adapter.lora.alpha"]
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_factors_of_conv1d_are_transposed_there(tmp_path: Path) -> None:
    """Conv1D stores its weight transposed, its factors not; agreement with PEFT shows that ours are right."""
    ours, theirs = both_converted(next(pair for pair in FAMILIES if pair.arch == "gpt2"), tmp_path)
    found, expected = tensors(ours), tensors(theirs)
    for name, values in found.items():
        other = name[:-1] + {"a": "b", "b": "a"}[name[-1]]
        np.testing.assert_array_equal(values, expected[other].T, err_msg=name)
