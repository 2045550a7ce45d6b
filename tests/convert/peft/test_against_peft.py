"""What is read from a folder, against what PEFT itself does to the base's weights with the same folder.

Run by ``scripts/test --train``; torch, transformers and peft are imported where they are used.
"""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.changes import Reading, read, relative

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # peft and transformers warn about each other
]

LAYER = "model.layers.0"
Q, V, DOWN = f"{LAYER}.self_attn.q_proj", f"{LAYER}.self_attn.v_proj", f"{LAYER}.mlp.down_proj"
EXPERTS = f"{LAYER}.mlp.experts"
TARGETS = ["q_proj", "v_proj", "down_proj"]
N_EXPERTS, HIDDEN, FF = 3, 16, 24


@pytest.fixture(scope="module")
def base() -> Any:
    """A random decoder in float64, so that differences of its weights are exact enough."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "hidden_size": HIDDEN, "intermediate_size": FF, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    return LlamaForCausalLM(config).double()


def weights_of(model: Any) -> dict[str, np.ndarray]:
    return {name.removesuffix(".weight"): values.numpy().copy() for name, values in model.state_dict().items()}


def saved(base: Any, config: Any, folder: Path, seed: int = 1) -> Any:
    """A random adapter, saved by PEFT in float32; returns the model with it."""
    import torch
    from peft import get_peft_model

    torch.manual_seed(seed)
    model = get_peft_model(copy.deepcopy(base), config)
    kept = dict(model.named_buffers()) | dict(model.named_parameters())
    for name, values in kept.items():
        if values.requires_grad:
            values.data = torch.randn_like(values).float().double()
        elif "vera_" in name or "lora_B" in name:
            values.data = values.data.float().double()
    model.save_pretrained(folder)
    return model


def peft_changes(base: Any, folder: Path) -> dict[str, np.ndarray]:
    """What PEFT adds to each weight of the base when it merges the folder."""
    from peft import PeftModel

    merged = PeftModel.from_pretrained(copy.deepcopy(base), folder).merge_and_unload()
    before, after = weights_of(base), weights_of(merged)
    changes = {name: after[name] - values for name, values in before.items()}
    return {name: values for name, values in changes.items() if np.any(values)}


def by_weight(reading: Reading, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The changes that were read; those of experts are stacked."""
    assert reading.problems == []
    found: dict[str, Any] = {}
    for (module, expert), values in reading.changes(weights).items():
        if expert is None:
            found[module] = values
        else:
            found.setdefault(module, {})[expert] = values
    return {
        name: np.stack([values[e] for e in range(len(values))]) if isinstance(values, dict) else values
        for name, values in found.items()
    }


def assert_agrees(base: Any, folder: Path, **options: Any) -> Reading:
    reading = read(folder, **options)
    found, expected = by_weight(reading, weights_of(base)), peft_changes(base, folder)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert relative(found[name], values) < 1e-6, name
    return reading


def adapters() -> dict[str, tuple[str, dict[str, Any]]]:
    """Class of the configuration and its settings, by what they are about."""
    lora: dict[str, dict[str, Any]] = {
        "plain": {"r": 4, "lora_alpha": 6},
        "rank-stabilised": {"r": 5, "lora_alpha": 3, "use_rslora": True},
        "patterns": {
            "r": 4,
            "lora_alpha": 6,
            "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.[a-z]*_proj": 3},
            "alpha_pattern": {"^model.layers.0.self_attn.(q|k)_proj": 9, "v.proj": 2, "layers.1.self_attn.v_proj": 50},
        },
        "stabilised patterns": {"r": 4, "lora_alpha": 6, "use_rslora": True, "rank_pattern": {"q_proj": 2}},
        "embedding and output": {"r": 3, "lora_alpha": 4, "target_modules": ["q_proj", "embed_tokens", "lm_head"]},
        "gaussian": {"r": 4, "init_lora_weights": "gaussian"},
        "orthogonal": {"r": 4, "init_lora_weights": "orthogonal"},
        "rows beside": {"r": 4, "trainable_token_indices": [3, 17, 0]},
        "rows of both": {"r": 4, "trainable_token_indices": {"embed_tokens": [5], "lm_head": [2, 19]}},
        "ordinary parameters": {
            "r": 4,
            "lora_alpha": 6,
            "target_modules": ["v_proj"],
            "target_parameters": ["q_proj.weight", "lm_head.weight", "embed_tokens.weight"],
            "alpha_pattern": {"q_proj.weight": 11, "q_proj": 1},
        },
    }
    loha = {"small": {"r": 2, "alpha": 5}, "more than the matrix has": {"r": 6, "alpha": 5}}
    lokr: dict[str, dict[str, Any]] = {
        "both whole": {"r": 8, "alpha": 3},
        "second in factors": {"r": 2, "alpha": 3, "decompose_factor": 2},
        "both in factors": {"r": 1, "alpha": 3, "decompose_both": True, "decompose_factor": 4},
        "rank above the side": {"r": 5, "alpha": 3, "decompose_both": True, "decompose_factor": 2},
        "patterns": {"r": 2, "alpha": 3, "rank_pattern": {"q_proj": 1}, "alpha_pattern": {"v_proj": 7}},
    }
    miss = {
        "even": {"r": 4},
        "uneven": {"r": 5},
        "mini": {"r": 4, "mini_r": 4, "init_weights": "mini"},
        "random": {"r": 3, "init_weights": False},
    }
    ada = {"init_r": 5, "target_r": 3, "total_step": 10}
    adalora = {"plain": {**ada, "lora_alpha": 6}, "no alpha": {**ada, "lora_alpha": 0}}
    types = {
        "LoraConfig": lora,
        "LoHaConfig": loha,
        "LoKrConfig": lokr,
        "MissConfig": miss,
        "AdaLoraConfig": adalora,
        "VeraConfig": {"saved": {"r": 4}},
        "TrainableTokensConfig": {"rows": {"token_indices": [0, 19, 7], "target_modules": ["embed_tokens"]}},
    }
    return {f"{name}: {about}": (name, of) for name, settings in types.items() for about, of in settings.items()}


ADAPTERS = adapters()


@pytest.mark.parametrize("case", ADAPTERS)
def test_changes_are_those_of_peft(base: Any, tmp_path: Path, case: str) -> None:
    import peft

    name, settings = ADAPTERS[case]
    saved(base, getattr(peft, name)(**{"target_modules": TARGETS, **settings}), tmp_path)
    assert_agrees(base, tmp_path)


def test_adalora_after_pruning(base: Any, tmp_path: Path) -> None:
    from peft import AdaLoraConfig

    config = AdaLoraConfig(init_r=5, target_r=3, total_step=10, lora_alpha=0, target_modules=TARGETS)
    kept = {Q: [True, False, True, True, False], V: [False] * 5, DOWN: [True] * 5}
    config.rank_pattern = {f"{name}.lora_E": ranks for name, ranks in kept.items()}
    saved(base, config, tmp_path)
    reading = assert_agrees(base, tmp_path)
    assert {update.rank for update in reading.source.updates if update.module == Q} == {3}
    assert [line for line in reading.warnings if "pruned it to rank 0" in line]


def test_block_diagonal(base: Any, tmp_path: Path) -> None:
    from peft import LoraConfig
    from peft.tuners.lora.config import BdLoraConfig

    blocks = BdLoraConfig(
        target_modules_bd_a=["down_proj"], target_modules_bd_b=["q_proj"], nblocks=2, match_strict=False
    )
    saved(base, LoraConfig(r=4, target_modules=TARGETS, use_bdlora=blocks, init_lora_weights=False), tmp_path)
    assert_agrees(base, tmp_path)


def test_velora_trains_ordinary_factors(base: Any, tmp_path: Path) -> None:
    from peft import LoraConfig
    from peft.tuners.lora.config import VeloraConfig

    saved(base, LoraConfig(r=4, target_modules=TARGETS, velora_config=VeloraConfig(num_groups=4)), tmp_path)
    assert_agrees(base, tmp_path)


def test_conv1d_needs_no_transposition(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(1)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=16, n_layer=1, n_head=2)).double()
    saved(model, LoraConfig(r=4, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True), tmp_path)
    found, expected = by_weight(read(tmp_path), {}), peft_changes(model, tmp_path)
    assert found.keys() == expected.keys()
    assert all(relative(found[name], values.T) < 1e-6 for name, values in expected.items())


def test_pooled_inputs(tmp_path: Path) -> None:
    """QA-LoRA runs only on layers that GPTQ quantized, so its forward pass is called as it is."""
    from types import SimpleNamespace

    import torch
    from peft.tuners.lora.variants import QALoraLinearVariant
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 6), (10, 4)))
    fields = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "use_qalora": True, "qalora_group_size": 4}
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields))
    save_file({f"{Q}.lora_A.weight": a, f"{Q}.lora_B.weight": b}, tmp_path / "adapter_model.safetensors")
    module = SimpleNamespace(
        lora_A={"x": SimpleNamespace(weight=torch.from_numpy(a))},
        lora_B={"x": SimpleNamespace(weight=torch.from_numpy(b))},
        lora_dropout={"x": torch.nn.Identity()},
        scaling={"x": 6 / 4},
        qalora_group_size={"x": 4},
        in_features=24,
        training=False,
    )
    expected = QALoraLinearVariant.forward(module, "x", torch.eye(24), torch.zeros(24, 10)).numpy().T
    (found,) = read(tmp_path).changes({Q: np.zeros((10, 24))}).values()
    assert relative(found, expected) < 1e-6


def with_experts(base: Any, stored: str) -> Any:
    """The base with the weights of all experts in one tensor each: [experts, n_out, n_in], or inputs first."""
    import torch

    class Experts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = {"gate_up_proj": (2 * FF, HIDDEN), "down_proj": (HIDDEN, FF)}
            for name, size in sizes.items():
                shape = size[::-1] if stored == "inputs first" else size
                self.register_parameter(name, torch.nn.Parameter(torch.randn(N_EXPERTS, *shape).double()))
            if stored != "outputs first":
                self.is_transposed = True

    torch.manual_seed(2)
    model = copy.deepcopy(base)
    model.get_submodule(f"{LAYER}.mlp").experts = Experts()
    return model


@pytest.mark.parametrize("stored", ["outputs first", "inputs first", "outputs first, taken for inputs"])
@pytest.mark.parametrize("names", [["gate_up_proj", "down_proj"], ["down_proj"], ["gate_up_proj"]])
def test_experts(base: Any, tmp_path: Path, stored: str, names: list[str]) -> None:
    """The last way of storing is what PEFT before 0.19 did to all models."""
    from peft import LoraConfig

    model = with_experts(base, stored)
    patterns = {"rank_pattern": {"experts.down_proj": 2}, "alpha_pattern": {"gate_up_proj": 12}}
    parameters = [f"mlp.experts.{name}" for name in names]
    saved(model, LoraConfig(r=4, target_modules=["q_proj"], target_parameters=parameters, **patterns), tmp_path)
    expected, weights = peft_changes(model, tmp_path), weights_of(model)
    if stored == "inputs first":
        for values in (expected, weights):
            values |= {name: part.swapaxes(1, 2) for name, part in values.items() if name.startswith(EXPERTS)}
    reading = read(tmp_path)
    found = by_weight(reading, weights)
    assert found.keys() == expected.keys() > {f"{EXPERTS}.{name}" for name in names}
    assert all(relative(found[name], values) < 1e-6 for name, values in expected.items())
    assert [line for line in reading.warnings if "unsloth-legacy" in line]


def test_experts_of_a_model_in_transformers(tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig
    from transformers import MixtralConfig, MixtralForCausalLM

    torch.set_num_threads(1)
    sizes = {"vocab_size": 20, "hidden_size": HIDDEN, "intermediate_size": FF, "num_hidden_layers": 2}
    config = MixtralConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, num_local_experts=N_EXPERTS)
    model = MixtralForCausalLM(config).double()
    parameters = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    saved(model, LoraConfig(r=4, target_modules=["q_proj"], target_parameters=parameters), tmp_path)
    assert_agrees(model, tmp_path)
