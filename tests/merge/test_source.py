"""Merging from the unquantized base: a GGUF, or a folder of Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.adapters import write_adapter
from support.quantized import write_quantized
from support.streaming import values_of

from edgelora.gguf.reader import read_header
from edgelora.merge.merge import merge
from edgelora.merge.options import Member, Options

if TYPE_CHECKING:
    from edgelora.merge.options import Precision

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDER = MODELS / "source" / "base"
"""The demo's base as Transformers saves it, in F16."""


@pytest.fixture(scope="session")
def base(f32_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's base in Q4_K."""
    return write_quantized(tmp_path_factory.mktemp("base") / "q4.gguf", f32_base, "Q4_K")


def tensors_in(path: Path) -> dict[str, np.ndarray]:
    return {name: values_of(path, name) for name in read_header(path).tensors}


@pytest.mark.parametrize("precision", ["auto", "q6_k", "q4_k_m", "f16"])
def test_a_folder_is_as_good_as_a_gguf_of_it(base: Path, f32_base: Path, tmp_path: Path, precision: Precision) -> None:
    adapter = write_adapter(tmp_path / "adapter.gguf", base, targets=("attn_q", "attn_k", "ffn_down")).path
    for name, source in (("gguf", f32_base), ("folder", FOLDER)):
        options = Options(precision, source=source, verify=False, threads=1)
        merge(base, [Member(adapter)], tmp_path / f"{name}.gguf", options)
    from_gguf, from_folder = tensors_in(tmp_path / "gguf.gguf"), tensors_in(tmp_path / "folder.gguf")
    assert not np.array_equal(from_gguf["blk.0.attn_q.weight"], values_of(base, "blk.0.attn_q.weight"))
    assert from_folder.keys() == from_gguf.keys()
    for name, values in from_gguf.items():
        np.testing.assert_array_equal(from_folder[name], values, err_msg=name)
