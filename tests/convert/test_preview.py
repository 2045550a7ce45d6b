"""What a list of adapters shows of one that is not converted yet: the same that a conversion would come to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.convert import convert
from edgelora_convert.preview import preview
from support.changes import folder_of
from support.peft_folders import Shape, peft_source, random_tensors, write_base

from edgelora.errors import ConversionError
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = Shape()
Q, TABLE, EXPERTS = "model.layers.0.self_attn.q_proj", "model.embed_tokens", "model.layers.0.mlp.experts"


def rand(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base.gguf", SHAPE)


LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 6}
PAIR = {f"{Q}.lora_A.weight": rand(4, 64), f"{Q}.lora_B.weight": rand(64, 4)}
SOURCES: dict[str, tuple[dict[str, Any], dict[str, np.ndarray]]] = {
    "ordinary": (LORA, PAIR),
    "MiSS": ({"peft_type": "MISS", "r": 4}, {f"{Q}.miss_block": rand(4, 64)}),
    "VeRA": (
        {"peft_type": "VERA", "r": 4, "save_projection": True},
        {
            "vera_A": rand(4, 64),
            "vera_B": rand(64, 4),
            f"{Q}.vera_lambda_b": rand(64),
            f"{Q}.vera_lambda_d": rand(4),
        },
    ),
    "QA-LoRA": ({**LORA, "use_qalora": True, "qalora_group_size": 4}, {**PAIR, f"{Q}.lora_A.weight": rand(4, 16)}),
    "token rows": (
        {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 5, 7]},
        {f"{TABLE}.trainable_tokens_delta": rand(3, 64)},
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_it_is_what_a_conversion_comes_to(base: Path, tmp_path: Path, case: str) -> None:
    fields, tensors = SOURCES[case]
    named = {f"base_model.{name}" if "." not in name else name: values for name, values in tensors.items()}
    folder = folder_of(tmp_path / "source", named, **fields)
    seen = preview(folder, read_header(base))
    convert(folder, base, tmp_path / "out.gguf")
    facts = AdapterFacts.of(read_header(tmp_path / "out.gguf"))
    assert (seen.rank, seen.targets, seen.problems) == (facts.max_rank, tuple(facts.targets), ())
    assert seen.rank > 0


def refused(folder: Path, base: Path) -> tuple[str, ...]:
    """The reasons of a conversion, which must be those of the preview."""
    with pytest.raises(ConversionError) as caught:
        convert(folder, base, folder.parent / "out.gguf")
    assert preview(folder, read_header(base)).problems == caught.value.problems
    return caught.value.problems


def test_experts_for_a_base_that_has_none(base: Path, tmp_path: Path) -> None:
    tensors = {f"{EXPERTS}.lora_A.weight": rand(8, 64), f"{EXPERTS}.lora_B.weight": rand(96, 8)}
    fields = {**LORA, "target_parameters": ["experts.down_proj"], "peft_version": "0.20.0"}
    (problem,) = refused(folder_of(tmp_path / "source", tensors, **fields), base)
    assert problem.startswith(f"{EXPERTS.replace('0', '*')}.down_proj (layer 0): ")


def test_what_only_a_merge_can_express(base: Path, tmp_path: Path) -> None:
    (problem,) = refused(folder_of(tmp_path / "source", PAIR, **LORA, bias="all"), base)
    assert "biases were trained beside it" in problem


def test_another_architecture(base: Path, tmp_path: Path) -> None:
    convert(folder_of(tmp_path / "source", PAIR, **LORA), base, tmp_path / "adapter.gguf")
    other = write_base(tmp_path / "other.gguf", Shape(arch="qwen2"))
    with pytest.raises(ConversionError) as caught:
        convert(tmp_path / "adapter.gguf", other, tmp_path / "out.gguf")
    assert preview(tmp_path / "adapter.gguf", read_header(other)).problems == caught.value.problems


def test_an_adapter_that_llama_cpp_would_ignore(tmp_path: Path) -> None:
    shape = Shape(arch="minicpm3", layers=1)
    tensors = random_tensors(shape) | {"blk.0.attn_q_a.weight": rand(16, 64)}
    base = write_base(tmp_path / "base.gguf", shape, tensors)
    module = Q.replace("q_proj", "q_a_proj")
    pair = {f"{module}.lora_A.weight": rand(4, 64), f"{module}.lora_B.weight": rand(16, 4)}
    (problem,) = refused(folder_of(tmp_path / "source", pair, **LORA), base)
    assert "llama.cpp ignores adapters of attn_q_a" in problem


def test_an_adapter_that_does_nothing(base: Path, tmp_path: Path) -> None:
    (problem,) = refused(folder_of(tmp_path / "source", PAIR, **{**LORA, "lora_alpha": 0}), base)
    assert "every scale is 0" in problem


def test_it_takes_no_time(tmp_path: Path) -> None:
    shape = Shape(layers=32)
    base = read_header(write_base(tmp_path / "base.gguf", shape))
    folder = peft_source(shape, ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")).save(
        tmp_path / "source"
    )
    preview(folder, base)
    start = time.process_time()
    assert len(preview(folder, base).targets) == 7
    assert time.process_time() - start < 0.5
