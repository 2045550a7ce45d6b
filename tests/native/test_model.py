"""Vocabulary and batches, as llama.cpp sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgelora.errors import EngineError
from edgelora.native.batch import Batch
from edgelora.native.model import Model


@pytest.fixture(scope="module")
def model(demo_base: Path) -> Iterator[Model]:
    with Model(demo_base) as model:
        yield model


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200)
@given(text=st.text())
def test_pieces_give_the_text_back(model: Model, text: str) -> None:
    tokens = model.tokenize(text, parse_special=False, add_special=False)
    assert b"".join(map(model.piece, tokens)).decode() == text


def test_special_tokens_have_no_piece_and_end_a_turn(model: Model) -> None:
    (end,) = model.tokenize("<|im_end|>", parse_special=True, add_special=False)
    assert model.piece(end) == b""
    assert model.ends_generation(end)


def test_a_file_that_is_no_model_is_refused_with_what_llama_cpp_said(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(EngineError, match=r"llama\.cpp cannot load .*bad\.gguf: \S+"):
        Model(tmp_path / "bad.gguf")


def test_a_batch_holds_each_sequence_in_order() -> None:
    batch = Batch(8)
    assert batch.add([7, 8, 9], position=4, sequence=2, logits=True) == 2
    assert batch.add([5], position=0, sequence=0, logits=False) == 3
    assert len(batch) == 4
    assert batch.position[:4].tolist() == [4, 5, 6, 0]
    assert batch.wants_logits[:4].tolist() == [0, 0, 1, 0]
    assert [batch.native.seq_id[i][0] for i in range(4)] == [2, 2, 2, 0]
    assert np.ctypeslib.as_array(batch.native.token, shape=(4,)).tolist() == [7, 8, 9, 5]


@pytest.mark.parametrize("tokens", [[], [1] * 9])
def test_a_batch_refuses_what_does_not_fit(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Batch(8).add(tokens, position=0, sequence=0, logits=True)
