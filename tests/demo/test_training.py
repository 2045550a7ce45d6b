"""Training that is taken up again, and adapters as PEFT saves them. A few steps; nothing is learned here."""

from __future__ import annotations

import json
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from demo.text.corpus import documents_of_base, render
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

pytestmark = [pytest.mark.train, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    from demo.tokenizer import VOCABULARY, train_tokenizer

    trained = train_tokenizer(map(render, islice(documents_of_base(Random(1)), 2000)))
    assert len(trained) == VOCABULARY
    return trained


@pytest.fixture(scope="module")
def base(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step, then a second call that goes on to the second step."""
    import torch
    from demo.base import TOKENS_PER_STEP, train_base

    folder = tmp_path_factory.mktemp("base")
    train_base(tokenizer, folder, TOKENS_PER_STEP)
    assert torch.load(folder / "base.pt", weights_only=True)["progress"]["step"] == 1
    model = train_base(tokenizer, folder, 2 * TOKENS_PER_STEP)
    assert torch.load(folder / "base.pt", weights_only=True)["progress"]["step"] == 2
    model.save_pretrained(folder / "saved")
    return folder / "saved"


def test_an_adapter_folder_is_what_peft_saves_with_a_card(
    tokenizer: PreTrainedTokenizerFast, base: Path, tmp_path: Path
) -> None:
    from demo.adapters import BASE_NAME, RECIPES, train_adapter

    target = tmp_path / "legal"
    target.mkdir()
    train_adapter("legal", base, tokenizer, target, steps=2)
    config = json.loads((target / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE_NAME
    assert (config["r"], config["use_rslora"]) == (RECIPES["legal"].rank, True)
    tensors = load_file(target / "adapter_model.safetensors")
    assert len(tensors) == 2 * 6 * len(RECIPES["legal"].targets)
    assert all(np.any(value) for value in tensors.values())
    assert "Example prompt: Draft" in (target / "README.md").read_text()
