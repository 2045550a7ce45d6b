"""What only a merge can express: merged files in llama.cpp against PEFT's own forward pass, on the same base in F32.

Run by ``scripts/test --train``; torch, transformers and peft are imported where they are used, so that the plain
environment can collect this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from edgelora_convert.convert import convert
from support.exports import Pair, export, model_of, tied
from support.families import dense, fused, layer_norms
from support.logits import native_rows, relative_error
from support.peft_models import adapted, peft_rows
from support.whole_merges import merged, randomised

from edgelora.errors import ConversionError, MergeError
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    import numpy as np

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # peft and transformers warn about each other
]

PROMPTS = ([1, 2, 3], [7, 8, 9, 10, 11, 12, 13, 14], [30])
ALL = {str(pair): pair for room in (dense, fused, layer_norms) for pair in room.PAIRS}
LLAMA, QWEN2, GEMMA, GEMMA3, PHI3 = (ALL[name] for name in ("llama", "qwen2", "gemma", "gemma3", "phi3"))
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LINEAR = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
QV = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
DORA = {"use_dora": True}


def trained(pair: Pair, folder: Path, ends: tuple[str, ...], **config: Any) -> tuple[Path, Path, np.ndarray]:
    """A base, an adapter of it in which tensors with these ends were moved, and what PEFT answers with both."""
    from peft import PeftModel

    base = export(folder / "base.gguf", pair, model_of(pair))
    adapted(model_of(pair), folder / "peft", **config)
    plain = peft_rows(PeftModel.from_pretrained(model_of(pair), folder / "peft").eval(), PROMPTS)
    if ends:
        randomised(folder / "peft", *ends)
    expected = peft_rows(PeftModel.from_pretrained(model_of(pair), folder / "peft").eval(), PROMPTS)
    assert not ends or relative_error(plain, expected) > 1e-2
    assert relative_error(native_rows(base, PROMPTS), expected) > 1e-2
    return base, folder / "peft", expected


CASES: dict[str, tuple[Pair, tuple[str, ...], dict[str, Any]]] = {
    "DoRA": (LLAMA, ("lora_magnitude_vector",), LINEAR | DORA),
    "DoRA, rank-stabilised": (QWEN2, ("lora_magnitude_vector",), LINEAR | DORA | {"use_rslora": True}),
    "DoRA of fused weights": (PHI3, ("lora_magnitude_vector",), LINEAR | DORA),
    "DoRA of an embedding and an output": (
        LLAMA,
        ("lora_magnitude_vector",),
        QV | DORA | {"target_modules": ["embed_tokens", "lm_head"]},
    ),
    "whole modules": (
        LLAMA,
        ("lm_head.weight", "embed_tokens.weight", "k_proj.weight", "k_proj.bias", "down_proj.weight"),
        QV | {"modules_to_save": ["lm_head", "embed_tokens", "k_proj", "down_proj"]},
    ),
    "norms": (
        LLAMA,
        ("input_layernorm.weight", "model.norm.weight"),
        QV | {"modules_to_save": ["input_layernorm", "model.norm"]},
    ),
    "norms of one more": (
        GEMMA,
        ("input_layernorm.weight",),
        QV | {"modules_to_save": ["input_layernorm"]},
    ),
    "biases of adapted layers": (LLAMA, (".bias",), LINEAR | {"bias": "lora_only"}),
    "all biases": (LLAMA, (".bias",), QV | {"bias": "all"}),
    "biases of B": (LLAMA, ("lora_B.bias",), LINEAR | {"lora_bias": True}),
    "biases of B that the base lacks": (ALL["mistral"], ("lora_B.bias",), QV | {"lora_bias": True}),
    "token rows of a tied base": (
        tied(QWEN2),
        ("trainable_tokens_delta",),
        QV | {"trainable_token_indices": [1, 2, 3, 9]},
    ),
    "output of a tied base": (tied(QWEN2), (), QV | {"target_modules": ["lm_head"]}),
    "embedding of a tied base": (tied(LLAMA), (), QV | {"target_modules": ["embed_tokens"]}),
    "both of a tied base": (tied(QWEN2), (), QV | {"target_modules": ["embed_tokens", "lm_head"]}),
    "both of a tied base, tied": (
        tied(QWEN2),
        (),
        QV | {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    ),
    "both of a base that is always tied": (
        GEMMA,
        (),
        QV | {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    ),
    "whole output of a tied base": (tied(QWEN2), ("lm_head.weight",), QV | {"modules_to_save": ["lm_head"]}),
    "whole embedding of a tied base": (
        tied(QWEN2),
        ("embed_tokens.weight",),
        QV | {"modules_to_save": ["embed_tokens"]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_merged_base_answers_as_in_peft(tmp_path: Path, case: str) -> None:
    pair, ends, config = CASES[case]
    base, folder, expected = trained(pair, tmp_path, ends, **config)
    with pytest.raises(ConversionError):
        convert(folder, base, tmp_path / "adapter.gguf")
    out = merged(base, tmp_path / "merged.gguf", (folder, 1.0))
    assert relative_error(native_rows(out, PROMPTS), expected) < max(1e-4, pair.tolerance)


def test_sides_that_change_alike_stay_one_matrix(tmp_path: Path) -> None:
    for case in ("token rows of a tied base", "both of a tied base, tied"):
        (folder := tmp_path / case).mkdir()
        pair, ends, config = CASES[case]
        base, adapter, _ = trained(pair, folder, ends, **config)
        assert "output.weight" not in read_header(merged(base, folder / "merged.gguf", (adapter, 1.0))).tensors


def test_one_side_of_a_base_that_is_always_tied_is_refused(tmp_path: Path) -> None:
    base, adapter, _ = trained(GEMMA, tmp_path, (), **(QV | {"target_modules": ["lm_head"]}))
    with pytest.raises(MergeError, match="lm_head: input and output are one matrix"):
        merged(base, tmp_path / "merged.gguf", (adapter, 1.0))
