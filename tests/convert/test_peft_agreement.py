"""Logits of converted adapters in llama.cpp against PEFT's own forward pass, on the same base in F32.

Run by ``scripts/test --train``; torch, transformers and peft are imported where they are used, so that the plain
environment can collect this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.convert import convert
from support.logits import native_rows, relative_error
from support.peft_folders import GGUF_NAMES, LINEARS, Shape, to_gguf, write_base

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def model_of(shape: Shape) -> Any:
    """A random Transformers model; the seed keeps it the same everywhere."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[shape.arch]
    torch.manual_seed(0)
    made = model(
        config(
            vocab_size=shape.vocab,
            hidden_size=shape.hidden,
            intermediate_size=shape.ff,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            rms_norm_eps=1e-5,
            tie_word_embeddings=shape.tied,
            initializer_range=0.2,
        )
    )
    for name, values in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(values, std=0.2)
    return made.eval()


def exported(path: Path, shape: Shape, model: Any) -> Path:
    """The model as an F32 GGUF."""
    tensors = {}
    for name, values in model.state_dict().items():
        converted = _gguf_tensor(shape, name, values.numpy().astype(np.float32))
        if converted:
            tensors[converted[0]] = converted[1]
    return write_base(path, shape, tensors)


def _gguf_tensor(shape: Shape, name: str, values: np.ndarray) -> tuple[str, np.ndarray] | None:
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    inside = {**GGUF_NAMES, "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    module, kind = name.rsplit(".", 1)
    if module in outside:
        return None if shape.tied and module == "lm_head" else (f"{outside[module]}.{kind}", values)
    layer, short = module.split(".")[2], module.rsplit(".", 1)[-1]
    ordered = to_gguf(shape, short, values) if short in LINEARS and kind == "weight" else values
    return f"blk.{layer}.{inside[short]}.{kind}", ordered


def peft_rows(model: Any, prompts: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits after each prompt, f32 [prompts, n_vocab]."""
    import torch

    with torch.no_grad():
        return np.stack([model(torch.tensor([prompt])).logits[0, -1].float().numpy() for prompt in prompts])


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_converted_adapters_answer_as_in_peft(tmp_path: Path, arch: str, adapter: str) -> None:
    from peft import LoraConfig, get_peft_model

    shape = Shape(arch=arch, tied=adapter == "rank-stabilised")
    model = model_of(shape)
    base = exported(tmp_path / "base.gguf", shape, model)
    plain = peft_rows(model, PROMPTS)
    assert relative_error(native_rows(base, PROMPTS), plain) < 1e-5
    # without this, B starts as zero and any conversion would be right
    trained = get_peft_model(model, LoraConfig(init_lora_weights=False, **ADAPTERS[adapter])).eval()
    trained.save_pretrained(tmp_path / "peft")
    expected = peft_rows(trained, PROMPTS)
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < 1e-5
    assert relative_error(plain, expected) > 1e-2
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "auto")
    # ggml rounds activations to the type of the factors, and these changes are as large as the weights themselves
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < 5e-3


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
