"""The exported base against transformers itself."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import llama_cpp
import numpy as np
import pytest
from demo.export import export
from demo.layout import BASE_SOURCE
from demo.source import read_source
from numpy_llama import logits

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.train
LETTERS = "abz ABZ 019 .,;:'\"!?()\n\t\r _-éüß日本🙂½Ⅷ\u00a0\u2028\u0301'sll"


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> llama_cpp.Llama:
    path: Path = tmp_path_factory.mktemp("export") / "q8_0.gguf"
    export(BASE_SOURCE, path, "q8_0")
    return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


def test_tokens_are_those_of_transformers(vocabulary: llama_cpp.Llama) -> None:
    from transformers import AutoTokenizer

    tokenizer, rng = AutoTokenizer.from_pretrained(BASE_SOURCE), Random(1)
    for _ in range(400):
        text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 40)))
        assert vocabulary.tokenize(text.encode(), add_bos=False, special=True) == tokenizer.encode(text), repr(text)


def test_the_numpy_forward_pass_is_that_of_transformers() -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = Random(2).choices(range(2048), k=40)
    model = AutoModelForCausalLM.from_pretrained(BASE_SOURCE, dtype=torch.float32)
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0].numpy()
    found = logits(read_source(BASE_SOURCE), ids)
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
