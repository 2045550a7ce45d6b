"""Logits of converted adapters in llama.cpp against PEFT's own forward pass, on the same base in F32.

Run by ``scripts/test --train``; torch, transformers and peft are imported where they are used, so that the plain
environment can collect this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from edgelora_convert.convert import convert
from support.exports import Pair, export, model_of, tied
from support.families import (
    balanced_experts,
    dense,
    experts,
    fused,
    gemma4,
    layer_norms,
    recurrent,
    state_space,
    vision,
)
from support.logits import native_rows, relative_error
from support.peft_models import adapted, peft_rows

if TYPE_CHECKING:
    import numpy as np

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # peft and transformers warn about each other
]

DEMO = Path(__file__).parents[2] / "models" / "source"
PROMPTS = ([1, 2, 3], [7, 8, 9, 10, 11, 12, 13, 14], [30])
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ADAPTERS: dict[str, dict[str, Any]] = {
    "plain": {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]},
    "all linear layers": {"r": 4, "lora_alpha": 12, "target_modules": "all-linear"},
    "rank-stabilised": {"r": 12, "lora_alpha": 24, "use_rslora": True, "target_modules": ATTENTION},
    "patterns": {
        "r": 8,
        "lora_alpha": 16,
        "target_modules": [*ATTENTION, "down_proj"],
        "rank_pattern": {"k_proj": 4, "down_proj": 3},
        "alpha_pattern": {r"layers\.0\.self_attn\.q_proj": 40, "o_proj": 5, "down_proj": 7},
    },
    "rank-stabilised patterns": {
        "r": 8,
        "lora_alpha": 16,
        "use_rslora": True,
        "target_modules": ATTENTION,
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"v_proj": 4},
    },
    "output matrix": {"r": 4, "lora_alpha": 8, "target_modules": ["lm_head", "embed_tokens", "k_proj"]},
}


ROOMS = (dense, layer_norms, fused, experts, balanced_experts, recurrent, state_space, gemma4, vision)
FAMILIES = [pair for room in ROOMS for pair in room.PAIRS]
LLAMA, QWEN2 = (next(pair for pair in dense.PAIRS if str(pair) == name) for name in ("llama", "qwen2"))


def assert_agrees(pair: Pair, folder: Path, **config: Any) -> tuple[Path, np.ndarray]:
    """A random adapter answers in llama.cpp as in PEFT; the base without it and the expected logits come back."""
    model = model_of(pair)
    base = export(folder / "base.gguf", pair, model)
    plain = peft_rows(model, PROMPTS)
    assert relative_error(native_rows(base, PROMPTS), plain) < pair.tolerance
    expected = peft_rows(adapted(model, folder / "peft", **config), PROMPTS)
    assert relative_error(plain, expected) > 1e-2
    convert(folder / "peft", base, folder / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, folder / "adapter.gguf"), expected) < pair.tolerance
    return base, expected


@pytest.mark.parametrize("pair", FAMILIES, ids=str)
def test_every_family_answers_as_in_peft(tmp_path: Path, pair: Pair) -> None:
    parameters = list(pair.parameters) or None
    assert_agrees(pair, tmp_path, r=4, lora_alpha=8, target_modules=pair.modules, target_parameters=parameters)


UNTIED = [
    pair
    for pair in FAMILIES
    # llama.cpp ignores adapters of deepseek2's output; models of lfm2moe are tied, and gguf has no name for another
    if not pair.ignored and pair.arch not in ("deepseek2", "lfm2moe")
]


@pytest.mark.parametrize("pair", UNTIED, ids=str)
def test_input_and_output_of_every_family_answer_as_in_peft(tmp_path: Path, pair: Pair) -> None:
    outside = {name: short for name, short in pair.outside.items() if short in ("token_embd", "output")}
    assert_agrees(pair, tmp_path, r=4, lora_alpha=8, target_modules=[name.rpartition(".")[2] for name in outside])


@pytest.mark.parametrize("pair", [LLAMA, QWEN2], ids=str)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_converted_adapters_answer_as_in_peft(tmp_path: Path, pair: Pair, adapter: str) -> None:
    base, expected = assert_agrees(pair, tmp_path, **ADAPTERS[adapter])
    convert(tmp_path / "peft", base, tmp_path / "small.gguf", "auto")
    # ggml rounds activations to the type of the factors, and these changes are as large as the weights themselves
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "small.gguf"), expected) < 5e-3


def test_adapters_of_a_tied_base_answer_as_in_peft(tmp_path: Path) -> None:
    assert_agrees(tied(QWEN2), tmp_path, **ADAPTERS["rank-stabilised"])


@pytest.mark.parametrize("name", ["coding", "medical", "legal", "chat"])
def test_the_demos_adapters_answer_as_in_peft(f32_base: Path, tmp_path: Path, name: str) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO / "base")
    questions = ("Write a function that adds two numbers.", "Patient with a sore throat.", "Hello, how are you?")
    prompts = [
        tokenizer(f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")["input_ids"] for text in questions
    ]
    model = AutoModelForCausalLM.from_pretrained(DEMO / "base", dtype=torch.float32).eval()
    plain = peft_rows(model, prompts)
    assert relative_error(native_rows(f32_base, prompts), plain) < 1e-4
    expected = peft_rows(PeftModel.from_pretrained(model, DEMO / "adapters" / name).eval(), prompts)
    assert relative_error(plain, expected) > 1e-2
    for dtype, limit in (("f32", 1e-4), ("auto", 1e-3)):
        convert(DEMO / "adapters" / name, f32_base, tmp_path / "adapter.gguf", dtype)  # type: ignore[arg-type]
        assert relative_error(native_rows(f32_base, prompts, tmp_path / "adapter.gguf"), expected) < limit
