"""Adapters of separate q, k, v, gate and up on bases that have them fused (convert_hf_to_gguf.py --fuse-qkv)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from edgelora_convert.convert import convert
from support.exports import Pair, export, fused, model_of
from support.families import balanced_experts, dense, experts, recurrent
from support.logits import native_rows, relative_error
from support.peft_models import adapted, peft_rows

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.train, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

PROMPTS = ([1, 2, 3], [7, 8, 9, 10, 11, 12, 13, 14], [30])
PAIRS = {str(pair): pair for pair in (*dense.PAIRS, *experts.PAIRS, *balanced_experts.PAIRS, *recurrent.PAIRS)}
CASES = [
    ("llama", ["q_proj", "k_proj", "v_proj", "o_proj"], ()),
    ("llama", ["k_proj"], ()),
    ("qwen2", ["q_proj", "v_proj"], ()),
    ("gemma3", "all-linear", ()),
    ("qwen35moe", "all-linear", ("experts.gate_up_proj", "experts.down_proj")),
    ("deepseek2/packed", ["o_proj"], ("experts.gate_up_proj",)),
]


@pytest.mark.parametrize(("name", "modules", "parameters"), CASES)
def test_adapters_on_fused_bases_answer_as_in_peft(
    tmp_path: Path, name: str, modules: list[str] | str, parameters: tuple[str, ...]
) -> None:
    pair: Pair = PAIRS[name]
    model = model_of(pair)
    base = export(tmp_path / "base.gguf", pair, model, also=fused)
    plain = peft_rows(model, PROMPTS)
    assert relative_error(native_rows(base, PROMPTS), plain) < pair.tolerance
    config = {"r": 4, "lora_alpha": 8, "target_modules": modules, "target_parameters": list(parameters) or None}
    expected = peft_rows(adapted(model, tmp_path / "peft", **config), PROMPTS)
    assert relative_error(plain, expected) > 1e-2
    convert(tmp_path / "peft", base, tmp_path / "adapter.gguf", "f32")
    assert relative_error(native_rows(base, PROMPTS, tmp_path / "adapter.gguf"), expected) < pair.tolerance
