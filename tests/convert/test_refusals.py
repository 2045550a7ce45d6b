"""What cannot be converted is refused early, in one message that lists every reason."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.convert import convert
from support.peft_folders import PeftSource, Shape, peft_source, random_tensors, write_base

from edgelora.errors import ConversionError, GGUFError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPE = Shape(tied=True)
Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base.gguf", SHAPE)


def problems_of(folder: Path, base: Path) -> tuple[str, ...]:
    """The problems of a refused conversion; nothing may be left of it."""
    out = folder.parent / "out"
    out.mkdir()
    with pytest.raises(ConversionError) as caught:
        convert(folder, base, out / "adapter.gguf")
    assert list(out.iterdir()) == []
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "DoRA": ({"use_dora": True}, "DoRA"),
    "PiSSA": ({"init_lora_weights": "pissa_niter_16"}, "also changed the base weights"),
    "OLoRA": ({"init_lora_weights": "olora"}, "also changed the base weights"),
    "CorDA": ({"init_lora_weights": "corda"}, "also changed the base weights"),
    "LoRA-GA": ({"init_lora_weights": "lora_ga"}, "also changed the base weights"),
    "LoftQ": ({"init_lora_weights": "loftq"}, "also changed the base weights"),
    "bias": ({"bias": "lora_only"}, "biases were trained"),
    "lora_bias": ({"lora_bias": True}, "biases"),
    "modules_to_save": ({"modules_to_save": ["lm_head"]}, "whole modules"),
    "trainable tokens": ({"trainable_token_indices": [1]}, "token embeddings"),
    "layer replication": ({"layer_replication": [[0, 2]]}, "replicated layers"),
    "QA-LoRA": ({"use_qalora": True}, "qalora_group_size"),
    "Arrow": ({"arrow_config": {"top_k": 2}}, "router"),
    "KaSA": ({"kasa_config": {"beta": 1e-4}}, "KaSA"),
    "MonteCLoRA": ({"monteclora_config": {"n": 2}}, "MonteCLoRA"),
    "other type": ({"peft_type": "IA3"}, "type is 'IA3'"),
    "no type": ({"peft_type": None}, "only LORA"),
    "rank": ({"r": 0}, "r is 0"),
    "rank as text": ({"r": "8"}, 'r is "8"'),
    "alpha": ({"lora_alpha": None}, "lora_alpha is null"),
    "alpha infinite": ({"lora_alpha": float("inf")}, "lora_alpha is Infinity"),
    "alpha endless": ({"lora_alpha": 10**400}, "lora_alpha is 1000"),
    "alpha 0": ({"lora_alpha": 0}, "every scale is 0"),
    "pattern": ({"alpha_pattern": ["q_proj"]}, "alpha_pattern is a list"),
    "pattern value": ({"rank_pattern": {"q_proj": "many"}}, "rank_pattern['q_proj']"),
    "pattern key": ({"alpha_pattern": {"(": 1}}, "invalid expression '('"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_configuration(base: Path, tmp_path: Path, case: str) -> None:
    fields, reason = CONFIGS[case]
    (problem,) = problems_of(peft_source(SHAPE, **fields).save(tmp_path / "p"), base)
    assert reason in problem


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '"\ud800'.encode("utf-8", "surrogatepass")])
def test_configuration_that_is_none(base: Path, tmp_path: Path, text: str | bytes) -> None:
    folder = peft_source(SHAPE).save(tmp_path / "p")
    (folder / "adapter_config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    (problem,) = problems_of(folder, base)
    assert "adapter_config.json" in problem


def zeros(*shape: int, dtype: type[np.generic] = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


TENSORS: dict[str, tuple[dict[str, np.ndarray | None], str]] = {
    "magnitudes": ({f"{Q}.lora_magnitude_vector": zeros(64)}, "DoRA"),
    "bias of B": ({f"{Q}.lora_B.bias": zeros(64)}, "lora_bias"),
    "whole module": ({"base_model.model.lm_head.weight": zeros(48, 64)}, "the file holds lm_head.weight"),
    "bias": ({f"{Q}.bias": zeros(64)}, "the file holds model.layers.0.self_attn.q_proj.bias"),
    "token rows": (
        {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": zeros(2, 64)},
        "names 0 tokens, the file holds 2 rows",
    ),
    "expert parameter": (
        {f"{Q[:30]}.mlp.experts.base_layer.lora_A.weight": zeros(8, 64)},
        "target_parameters",
    ),
    "something else": ({f"{Q}.vera_lambda_b": zeros(64)}, "is no part of a LORA adapter"),
    "missing A": ({f"{Q}.lora_A.weight": None}, "q_proj (layer 0): its lora_A is missing"),
    "missing B": ({f"{Q}.lora_B.weight": None}, "q_proj (layer 0): its lora_B is missing"),
    "two adapters": ({f"{Q}.lora_A.other.weight": zeros(8, 64)}, "holds two lora_A"),
    "ranks": ({f"{Q}.lora_A.weight": zeros(4, 64)}, "A has rank 4, B rank 8"),
    "integers": ({f"{Q}.lora_A.weight": zeros(8, 64, dtype=np.int32)}, "its values are I32"),
    "vector": ({f"{Q}.lora_A.weight": zeros(64)}, "must be a matrix"),
    "empty": ({f"{Q}.lora_A.weight": zeros(0, 64), f"{Q}.lora_B.weight": zeros(64, 0)}, "is empty"),
    "inputs": ({f"{Q}.lora_A.weight": zeros(8, 32)}, "trained for 32 and 64 inputs and outputs"),
    "outputs": ({f"{Q}.lora_B.weight": zeros(32, 8)}, "trained for 64 and 32 inputs and outputs"),
    "NaN": ({f"{Q}.lora_B.weight": zeros(64, 8) + np.float32("nan")}, "not finite"),
    "infinity": ({f"{Q}.lora_A.weight": zeros(8, 64) + np.float32("inf")}, "not finite"),
    "too large": ({f"{Q}.lora_A.weight": np.full((8, 64), 1e300)}, "not finite"),
    "layer too high": (
        {f"layers.7.self_attn.q_proj.lora_{s}.weight": zeros(*shape) for s, shape in (("A", (8, 64)), ("B", (64, 8)))},
        "(layer 7): the base has only 2 layers",
    ),
    "endless layer": (
        {f"layers.{'9' * 5000}.k.lora_{s}.weight": zeros(*shape) for s, shape in (("A", (8, 64)), ("B", (64, 8)))},
        "layers.99999",
    ),
    "unknown module": (
        {f"{Q}x.lora_A.weight": zeros(8, 64), f"{Q}x.lora_B.weight": zeros(64, 8)},
        "q_projx (layer 0): unknown in llama models",
    ),
    "tensor the base lacks": (
        {f"layers.0.mlp.gate.lora_{s}.weight": zeros(*shape) for s, shape in (("A", (8, 64)), ("B", (4, 8)))},
        "the base has no blk.*.ffn_gate_inp.weight (nearest: blk.*.ffn_gate.weight",
    ),
    "output matrix": (
        {"lm_head.lora_A.weight": zeros(8, 64), "lm_head.lora_B.weight": zeros(48, 8)},
        "lm_head: this base uses one matrix as embedding and as output",
    ),
    "embedding": (
        {"model.embed_tokens.lora_embedding_A": zeros(8, 48), "model.embed_tokens.lora_embedding_B": zeros(64, 8)},
        "embed_tokens: this base uses one matrix as embedding and as output",
    ),
    "linear as embedding": (
        {f"{Q[:-6]}k_proj.lora_embedding_A": zeros(8, 64), f"{Q[:-6]}k_proj.lora_embedding_B": zeros(32, 8)},
        "adapted as if it were an embedding",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_weights(base: Path, tmp_path: Path, case: str) -> None:
    changes, reason = TENSORS[case]
    source = peft_source(SHAPE)
    source.tensors = {name: values for name, values in {**source.tensors, **changes}.items() if values is not None}
    (problem,) = problems_of(source.save(tmp_path / "p"), base)
    assert reason in problem


def test_everything_is_listed_at_once_and_briefly(base: Path, tmp_path: Path) -> None:
    wide = Shape(hidden=128, layers=30)
    source = peft_source(wide, ("q_proj", "o_proj"), use_dora=True, bias="all", modules_to_save=["lm_head"])
    source.tensors["base_model.model.lm_head.weight"] = zeros(48, 64)
    source.tensors[f"{Q}.lora_magnitude_vector"] = zeros(64)
    found = problems_of(source.save(tmp_path / "p"), base)
    assert len(found) == 7
    assert "q_proj (layers 0-1): it was trained for 128 and 128" in "\n".join(found)
    assert "q_proj (layers 2-29): the base has only 2 layers" in "\n".join(found)


def test_names_from_files_are_made_harmless(base: Path, tmp_path: Path) -> None:
    source = peft_source(SHAPE)
    source.tensors["\x1b[2J" + "x" * 5000 + "\n.lora_A.nothing"] = zeros(1)
    (problem,) = problems_of(source.save(tmp_path / "p"), base)
    assert problem.isprintable()
    assert len(problem) < 500


def lfs(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n")


def cut(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])


def named(name: str) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        (folder / "adapter_model.safetensors").rename(folder / name)

    return rename


def nested(folder: Path) -> None:
    (folder / "checkpoint-9").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).rename(folder / "checkpoint-9" / name)


def huge_header(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"\xff" * 7 + b"\x7f" + b"{}")


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "pointer": (lfs, "only a Git LFS pointer"),
    "cut": (cut, "damaged or incomplete"),
    "huge header": (huge_header, "damaged or incomplete"),
    "shards": (named("adapter_model-00001-of-00002.safetensors"), "split into shards"),
    "ggla": (named("ggml-adapter-model.bin"), "old ggla format"),
    "whole model": (named("model.safetensors"), "whole model"),
    "no weights": (lambda folder: (folder / "adapter_model.safetensors").unlink(), "no adapter_model.safetensors"),
    "no configuration": (lambda folder: (folder / "adapter_config.json").unlink(), "no adapter_config.json"),
    "inside": (nested, "its subfolders hold some, give one of them: checkpoint-9"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folder(base: Path, tmp_path: Path, case: str) -> None:
    spoil, reason = FOLDERS[case]
    folder = peft_source(SHAPE).save(tmp_path / "p")
    spoil(folder)
    assert reason in "\n".join(problems_of(folder, base))


def test_other_sources(base: Path, tmp_path: Path) -> None:
    for source, reason in ((tmp_path / "none", "no such file"), (base, "a GGUF model, not an adapter")):
        with pytest.raises(ConversionError, match=reason):
            convert(source, base, tmp_path / "out.gguf")


def test_no_factors(base: Path, tmp_path: Path) -> None:
    source = PeftSource(SHAPE, peft_source(SHAPE).config)
    assert problems_of(source.save(tmp_path / "p"), base) == ("adapter_model.safetensors holds no LoRA factors",)


def test_bases(base: Path, tmp_path: Path) -> None:
    folder = peft_source(SHAPE).save(tmp_path / "p")
    other = write_base(tmp_path / "bert.gguf", Shape(arch="bert"))
    assert "architecture 'bert'; adapters can be converted for afmoe, apertus" in problems_of(folder, other)[0]
    with pytest.raises(GGUFError, match="no such file"):
        convert(folder, tmp_path / "none.gguf", tmp_path / "out.gguf")


def test_head_counts_that_do_not_explain_the_rows(tmp_path: Path) -> None:
    base = write_base(tmp_path / "odd.gguf", replace(SHAPE, heads=2), random_tensors(SHAPE))
    found = problems_of(peft_source(SHAPE, ("k_proj",)).save(tmp_path / "p"), base)
    assert "2 heads of 32 values do not explain its 32 rows" in found[0]


def test_blocks_beyond_the_block_count(tmp_path: Path) -> None:
    base = write_base(tmp_path / "odd.gguf", replace(SHAPE, layers=1), random_tensors(SHAPE))
    (problem,) = problems_of(peft_source(SHAPE, ("q_proj",)).save(tmp_path / "p"), base)
    assert "q_proj (layer 1): the base has only 1 layers" in problem


def test_outputs(base: Path, tmp_path: Path) -> None:
    folder = peft_source(SHAPE).save(tmp_path / "p")
    for out, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "out.gguf", "does not exist"),
        (base, "would replace the base"),
        (tmp_path / ("n" * 300 + ".gguf"), "cannot be written"),
    ):
        with pytest.raises(ConversionError, match=reason):
            convert(folder, base, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


def test_very_many_problems_are_cut_short(base: Path, tmp_path: Path) -> None:
    source = peft_source(SHAPE)
    source.tensors |= {f"odd{chr(97 + i // 26)}{chr(97 + i % 26)}": zeros(1) for i in range(200)}
    found = problems_of(source.save(tmp_path / "p"), base)
    assert len(found) == 41
    assert found[-1] == "and 160 more like these"


def test_experts_are_not_listed_one_by_one(base: Path, tmp_path: Path) -> None:
    source = peft_source(SHAPE)
    for expert in range(64):
        for layer in range(2):
            source.add(f"model.layers.{layer}.mlp.experts.{expert}.w9", 4, np.random.default_rng(0), 8, 8)
    (problem,) = problems_of(source.save(tmp_path / "p"), base)
    assert problem.startswith("model.layers.*.mlp.experts.*.w9 (layers 0-1): unknown in llama models")


def test_a_single_expert_is_named(base: Path, tmp_path: Path) -> None:
    source = peft_source(SHAPE)
    for layer in range(2):
        source.add(f"model.layers.{layer}.mlp.experts.17.w9", 4, np.random.default_rng(0), 8, 8)
    (problem,) = problems_of(source.save(tmp_path / "p"), base)
    assert problem.startswith("model.layers.*.mlp.experts.17.w9 (layers 0-1): unknown in llama models")


def test_sources_that_cannot_be_looked_for(base: Path, tmp_path: Path) -> None:
    for src, reason in (("", "its name is empty"), ("n" * 5000, "cannot be looked for")):
        with pytest.raises(ConversionError, match=reason):
            convert(src, base, tmp_path / "out.gguf")


def test_bases_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    folder = peft_source(SHAPE).save(tmp_path / "p")
    with pytest.raises(GGUFError, match="no ordinary file"):
        convert(folder, tmp_path / "fifo", tmp_path / "out.gguf")


def test_very_many_unknown_modules_take_no_time(base: Path, tmp_path: Path) -> None:
    source = peft_source(SHAPE)
    for number in range(3000):
        source.add(f"model.layers.0.odd{number}", 1, np.random.default_rng(0), 2, 2)
    found = problems_of(source.save(tmp_path / "p"), base)
    assert "nearest" in found[0]
    assert "nearest" not in found[-2] or len(found) == 41


def test_several_adapters_in_one_file(base: Path, tmp_path: Path) -> None:
    source = peft_source(SHAPE)
    names = {"0.self_attn.q_proj": "one", "0.self_attn.v_proj": "two"}
    for name in list(source.tensors):
        adapter = next((adapter for module, adapter in names.items() if module in name), "one")
        source.tensors[name.replace(".weight", f".{adapter}.weight")] = source.tensors.pop(name)
    (problem,) = problems_of(source.save(tmp_path / "p"), base)
    assert problem == "the file holds the adapters one, two; save a single one"


def test_another_base_explains_all_the_rest(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base.gguf", SHAPE, general__basename="Qwen2.5", general__size_label="7B")
    source = peft_source(Shape(hidden=128), base_model_name_or_path="Qwen/Qwen2.5-0.5B")
    first, *others = problems_of(source.save(tmp_path / "p"), base)
    assert "Qwen2.5-0.5B" in first
    assert "inputs and outputs" in others[0]
