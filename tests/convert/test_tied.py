"""Models that have one matrix for input and output, in bases that hold it once, twice, or that have two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from support.peft_folders import PeftSource, Shape, peft_source, random_tensors, write_base

from edgelora.errors import ConversionError
from edgelora.gguf.data import tensor_data
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = Shape()
TOKENS = [3, 17]


def with_rows(**config: object) -> PeftSource:
    """An adapter with trained rows of the embedding beside ordinary factors."""
    source = peft_source(SHAPE, ("q_proj",), trainable_token_indices=TOKENS, **config)
    rows = np.random.default_rng(5).standard_normal((2, SHAPE.hidden), np.float32)
    source.tensors["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"] = rows
    return source


def rows_of(source: PeftSource) -> np.ndarray:
    return next(values for name, values in source.tensors.items() if "trainable_tokens" in name)


def change_of_rows(adapter: Path, tensor: str) -> np.ndarray:
    """What the adapter adds to a table [vocabulary, width]."""
    header = read_header(adapter)
    a, b = (tensor_data(header, header.tensors[f"{tensor}.lora_{side}"]).astype(np.float32) for side in "ab")
    scale = AdapterFacts.of(header).scales[tensor]
    return scale * (a @ b.T if tensor.startswith("token_embd") else b @ a)


def test_both_copies_of_one_matrix_change(tmp_path: Path) -> None:
    tensors = random_tensors(SHAPE)
    tensors["output.weight"] = tensors["token_embd.weight"].astype(np.float16).astype(np.float32)
    base = write_base(tmp_path / "base.gguf", SHAPE, tensors)
    source = with_rows()
    convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf", "f32")
    for tensor in ("token_embd.weight", "output.weight"):
        expected = np.zeros((SHAPE.vocab, SHAPE.hidden), np.float32)
        expected[TOKENS] = rows_of(source) - tensors["token_embd.weight"][TOKENS]
        np.testing.assert_allclose(change_of_rows(tmp_path / "out.gguf", tensor), expected, rtol=1e-5, atol=1e-6)


def test_an_output_of_its_own_stays(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base.gguf", SHAPE)
    convert(with_rows().save(tmp_path / "p"), base, tmp_path / "out.gguf", "f32")
    assert "output.weight.lora_a" not in read_header(tmp_path / "out.gguf").tensors
    assert np.abs(change_of_rows(tmp_path / "out.gguf", "token_embd.weight")[TOKENS]).max() > 0.1


def test_one_matrix_cannot_be_adapted(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base.gguf", Shape(tied=True))
    with pytest.raises(ConversionError, match="one matrix as embedding and as output"):
        convert(with_rows().save(tmp_path / "p"), base, tmp_path / "out.gguf")
