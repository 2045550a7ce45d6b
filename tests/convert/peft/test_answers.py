"""Every type of PEFT from its folder to llama.cpp's logits, against PEFT's own forward pass on the same base in F32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from edgelora_convert.convert import convert
from support.exports import Pair, export, model_of
from support.families import dense, experts, fused
from support.logits import native_rows, relative_error
from support.peft_models import peft_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # peft and transformers warn about each other
]

PROMPTS = ([1, 2, 3], [7, 8, 9, 10, 11, 12, 13, 14], [30])
PAIRS = {str(pair): pair for pair in (*dense.PAIRS, *fused.PAIRS, *experts.PAIRS)}
LLAMA = PAIRS["llama"]
PHI3 = next(pair for name, pair in PAIRS.items() if name.startswith("phi3"))
ADAPTERS: dict[str, tuple[Pair, str, dict[str, Any]]] = {
    "AdaLoRA": (LLAMA, "AdaLoraConfig", {"init_r": 4, "target_r": 2, "total_step": 9}),
    "LoHa": (LLAMA, "LoHaConfig", {"r": 4, "alpha": 8}),
    "LoHa of full rank": (LLAMA, "LoHaConfig", {"r": 9, "alpha": 8}),
    "LoKr": (LLAMA, "LoKrConfig", {"r": 4, "alpha": 8, "decompose_factor": 4}),
    "LoKr of full rank": (LLAMA, "LoKrConfig", {"r": 64, "alpha": 64}),
    "VeRA": (LLAMA, "VeraConfig", {"r": 8}),
    "VeRA of fused layers": (PHI3, "VeraConfig", {"r": 8}),
    "MiSS": (LLAMA, "MissConfig", {"r": 6}),
    "small MiSS": (LLAMA, "MissConfig", {"r": 4, "mini_r": 8, "init_weights": "mini"}),
    "MiSS of fused layers": (PHI3, "MissConfig", {"r": 6}),
    "token rows": (LLAMA, "TrainableTokensConfig", {"token_indices": [2, 7, 30], "target_modules": ["embed_tokens"]}),
    "LoRA with rows": (
        LLAMA,
        "LoraConfig",
        {"r": 4, "trainable_token_indices": {"embed_tokens": [2, 7], "lm_head": [5, 40]}},
    ),
    "parameters": (LLAMA, "LoraConfig", {"r": 4, "target_modules": [], "target_parameters": ["q_proj.weight"]}),
}


@pytest.mark.parametrize("case", ADAPTERS)
def test_it_answers_as_in_peft(tmp_path: Path, case: str) -> None:
    import peft
    import torch

    pair, name, settings = ADAPTERS[case]
    model = model_of(pair)
    base = export(tmp_path / "base.gguf", pair, model)
    plain = peft_rows(model, PROMPTS)
    assert relative_error(native_rows(base, PROMPTS), plain) < pair.tolerance
    config = getattr(peft, name)(**{"target_modules": pair.modules, **settings})
    adapted = peft.get_peft_model(model, config).eval()
    torch.manual_seed(3)
    for values in adapted.parameters():
        if values.requires_grad:
            values.data = torch.randn_like(values) * 0.3
    adapted.save_pretrained(tmp_path / "peft")
    expected = peft_rows(adapted, PROMPTS)
    assert relative_error(plain, expected) > 1e-2
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < pair.tolerance
