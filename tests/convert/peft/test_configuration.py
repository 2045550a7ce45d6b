"""Configurations: what is refused, with all reasons at once, and that nothing in one can do worse."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.peft.readers import CONVERTIBLE, READERS, why_not
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.changes import folder_of, read

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from pathlib import Path

Q = "base_model.model.model.layers.0.self_attn.q_proj"
LORA: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 6}


def pair() -> dict[str, np.ndarray]:
    return {f"{Q}.lora_A.weight": np.ones((4, 8), np.float32), f"{Q}.lora_B.weight": np.ones((6, 4), np.float32)}


def problems_of(folder: Path, tensors: dict[str, np.ndarray], **fields: Any) -> list[str]:
    try:
        return read(folder_of(folder, tensors, **fields)).problems
    except ConversionError as error:
        return list(error.problems)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "DoRA": ({"use_dora": True}, "DoRA"),
    "biases of B": ({"lora_bias": True}, "lora_bias"),
    "replicated": ({"layer_replication": [[0, 2]]}, "layer_replication"),
    "Arrow": ({"arrow_config": {"top_k": 1}}, "Arrow"),
    "KaSA": ({"kasa_config": {"beta": 1}}, "KaSA"),
    "MonteCLoRA": ({"monteclora_config": {}, "use_dora": True}, "DoRA"),
    "biases": ({"bias": "all"}, "biases"),
    "modules": (
        {"modules_to_save": ["lm_head", "norm"]},
        "(modules_to_save: lm_head, norm), which",
    ),
    "their names": ({"modules_to_save": [f"m{n}" for n in range(9)]}, "m0, m1, m2, m3, m4 and 4 more"),
    "PiSSA": ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
    "OLoRA": ({"init_lora_weights": "OLoRA"}, "also changed the base"),
    "CorDA": ({"init_lora_weights": "corda"}, "path_initial_model_for_weight_conversion"),
    "LoRA-GA": ({"init_lora_weights": "lora_ga"}, "also changed the base"),
    "LoftQ": ({"init_lora_weights": "loftq"}, "also changed the base"),
    "endless rank": ({"r": 10**12}, "r is 1000000000000; it must be a positive whole number"),
    "rank beyond floats": ({"r": 10**400}, "r is 1000"),
    "rank below one": ({"r": -1}, "r is -1"),
    "rank of another kind": ({"r": [4]}, "r is a list"),
    "alpha that is no number": ({"lora_alpha": float("nan")}, "lora_alpha is NaN"),
    "no alpha": ({"lora_alpha": None}, "lora_alpha is null"),
    "pattern": ({"rank_pattern": [1]}, "rank_pattern is a list"),
    "pattern of another kind": ({"alpha_pattern": "q_proj"}, 'alpha_pattern is "q_proj"; it must be an object'),
    "rank in a pattern": ({"rank_pattern": {"q": 1.5}}, "rank_pattern['q'] is 1.5"),
    "expression": ({"alpha_pattern": {"(": 1}}, "invalid expression '('"),
    "parameters": ({"target_parameters": "x"}, 'target_parameters is "x"'),
    "parameters of another kind": ({"target_parameters": [1]}, "target_parameters must be a list of at most"),
    "tokens": ({"alora_invocation_tokens": ["a"]}, "alora_invocation_tokens must be a list of token numbers"),
    "older aLoRA": ({"invocation_string": "<|start|>"}, "invocation_string"),
    "too many names": ({"target_parameters": ["x"] * 1001}, "at most 1000 names"),
    "endless name": ({"target_parameters": ["x" * 1001]}, "at most 1000 names"),
    "group": ({"use_qalora": True, "qalora_group_size": 0}, "qalora_group_size is 0"),
    "blocks": ({"use_bdlora": {"nblocks": "x"}}, 'nblocks is "x"'),
    "too many blocks": (
        {"use_bdlora": {"nblocks": 2, "target_modules_bd_a": ["x"] * 40, "target_modules_bd_b": ["y"] * 40}},
        "use_bdlora names more than 64 modules",
    ),
    "blocks of another kind": ({"use_bdlora": 3}, "use_bdlora is 3"),
}


@pytest.mark.parametrize("case", FIELDS)
def test_fields(tmp_path: Path, case: str) -> None:
    fields, reason = FIELDS[case]
    assert reason in "\n".join(problems_of(tmp_path, pair(), **{**LORA, **fields}))


@pytest.mark.parametrize("init", [True, False, None, "gaussian", "eva", "orthogonal", "mica"])
def test_initialisations_that_leave_the_base_alone(tmp_path: Path, init: object) -> None:
    assert problems_of(tmp_path, pair(), **LORA, init_lora_weights=init) == []


def vector(n: int = 4) -> np.ndarray:
    return np.ones(n, np.float32)


TENSORS = {
    "magnitudes": (f"{Q}.lora_magnitude_vector", "DoRA"),
    "magnitudes of one": (f"{Q}.lora_magnitude_vector.default.weight", "DoRA"),
    "bias of B": (f"{Q}.lora_B.bias", "lora_bias"),
    "bias of one B": (f"{Q}.lora_B.default.bias", "lora_bias"),
    "KaSA": (f"{Q}.lora_diag", "KaSA"),
    "MonteCLoRA": (f"{Q}.lora_monteclora_sampler.expert_weights", "MonteCLoRA"),
    "bias": (f"{Q}.bias", "the file holds model.layers.0.self_attn.q_proj.bias"),
    "bias of the base": (f"{Q}.base_layer.bias", "biases were trained"),
    "module": ("base_model.model.lm_head.weight", "the file holds lm_head.weight"),
    "Kohya": ("lora_te_text_model_encoder_layers_0.lora_down.weight", "Kohya"),
    "diffusers": (f"{Q}.lora.down.weight", "Kohya"),
    "another type": (f"{Q}.miss_block", "no part of a LORA adapter"),
    "AdaLoRA": (f"{Q}.lora_E", "no part of a LORA adapter"),
    "anything": ("something", "no part of a LORA adapter"),
    "second adapter": (f"{Q}.lora_A.other.weight", "holds two lora_A"),
    "experts": ("model.layers.0.mlp.experts.base_layer.lora_A.weight", "target_parameters"),
    "rows": ("model.embed_tokens.token_adapter.trainable_tokens_delta", "must be a matrix"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_names_of_tensors_count_too(tmp_path: Path, case: str) -> None:
    name, reason = TENSORS[case]
    assert reason in "\n".join(problems_of(tmp_path, {**pair(), name: vector()}, **LORA))


@pytest.mark.parametrize("name", ["wte.base_layer.weight", "lm_head.base_layer.bias", f"{Q}.lora_velora_embed"])
def test_names_that_mean_nothing(tmp_path: Path, name: str) -> None:
    assert problems_of(tmp_path, {**pair(), name: vector()}, **LORA) == []


def test_all_reasons_come_at_once(tmp_path: Path) -> None:
    fields = {"use_dora": True, "bias": "all", "modules_to_save": ["lm_head"], "r": 0, "lora_alpha": "x"}
    tensors = {**pair(), f"{Q}.lora_diag": vector(), "lm_head.weight": vector(), f"{Q}x.lora_A.weight": vector()}
    assert len(problems_of(tmp_path, tensors, **{**LORA, **fields})) == 7


def test_parameters_of_another_type_are_no_modules(tmp_path: Path) -> None:
    (problem, *_) = problems_of(tmp_path, pair(), peft_type="MISS")
    assert "q_proj.lora_A.weight (layer 0): this tensor is no part of a MISS adapter" in problem


def test_an_empty_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path, {}, **LORA) == ["adapter_model.safetensors holds no LoRA factors"]


@pytest.mark.parametrize(
    "peft_type", ["IA3", "PROMPT_TUNING", "XLORA", "FOURIERFT", "BONE", "ALORA", "x" * 999, 7, None, []]
)
def test_other_types_are_named(tmp_path: Path, peft_type: object) -> None:
    (problem,) = problems_of(tmp_path, pair(), peft_type=peft_type)
    assert problem == why_not(peft_type)
    assert str(peft_type)[:20] in problem


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = [
    "r", "lora_alpha", "alpha", "use_rslora", "rank_pattern", "alpha_pattern", "target_parameters", "use_bdlora",
    "modules_to_save", "bias", "init_lora_weights", "trainable_token_indices", "token_indices", "init_r", "use_dora",
    "use_qalora", "qalora_group_size", "alora_invocation_tokens", "peft_version", "base_model_name_or_path",
    "init_weights",
]  # fmt: skip
PARAMETERS = sorted({name for reader in READERS.values() for name in reader.parameters})
SHAPES = st.lists(st.integers(0, 3), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200)
@given(
    st.sampled_from(sorted(READERS)),
    st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5),
    st.dictionaries(st.sampled_from(PARAMETERS), SHAPES, min_size=1, max_size=6),
)
def test_nothing_else_happens(tmp_path: Path, kind: str, fields: dict[str, Any], shapes: dict[str, list[int]]) -> None:
    """Any values of any fields with any tensors are read or refused."""
    tensors = {f"{Q}.{name}": np.ones(shape, np.float32) for name, shape in shapes.items()}
    settled = {"peft_type": kind, "r": 2, "alpha": 1, "lora_alpha": 1, "init_r": 2, **fields}
    try:
        reading = read(folder_of(tmp_path, tensors, **settled))
    except ConversionError:
        return
    source = reading.source
    assert reading.problems or source.updates or source.pending
    if not reading.problems:
        assert all(update.a.load().shape == update.a.shape for update in source.updates)


@pytest.mark.train
@pytest.mark.filterwarnings("default")
def test_every_type_of_peft_is_read_or_explained(tmp_path: Path) -> None:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    required: dict[str, dict[str, Any]] = {
        "CPT": {"task_type": "CAUSAL_LM"},
        "ADALORA": {"total_step": 10},
        "PSOFT": {"ab_svd_init": "psoft_init"},
    }
    for peft_type in PeftType:
        folder = tmp_path / peft_type.value
        folder.mkdir()
        fields = {"peft_type": peft_type.value}
        with suppress(ImportError):  # some need packages that are not there
            PEFT_TYPE_TO_CONFIG_MAPPING[peft_type](**required.get(peft_type.value, {})).save_pretrained(folder)
            fields = json.loads((folder / "adapter_config.json").read_text())
        assert fields["peft_type"] == peft_type.value
        (problem,) = problems_of(folder, {}, **fields)
        if peft_type.value in READERS:
            assert "holds no LoRA factors" in problem or "were not saved" in problem
        else:
            assert problem.startswith(f"its type is '{peft_type.value}'")
            assert problem.isprintable()
            assert len(problem) < 300


@pytest.mark.train
@pytest.mark.filterwarnings("default")
def test_types_that_peft_makes_a_lora_of() -> None:
    from importlib import import_module

    from peft import PeftType

    def is_convertible(name: str) -> bool:
        layers = import_module(f"peft.tuners.{name.lower()}.layer")
        own = (entry for entry in vars(layers).values() if getattr(entry, "__module__", "") == layers.__name__)
        return any("supports_lora_conversion" in vars(entry) for entry in own if isinstance(entry, type))

    with_layers = {"BOFT", "C3A", "DELORA", "FOURIERFT", "GLORA", "HIRA", "HRA", "IA3", "OFT", "OSF", "ROAD", "SHIRA"}
    for name in {kind.value for kind in PeftType} & (with_layers | CONVERTIBLE):
        assert is_convertible(name) == (name in CONVERTIBLE), name
