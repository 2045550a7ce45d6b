"""The names of tensors: modules without wrappers, parameters without the adapter's name."""

from __future__ import annotations

import pytest
from edgelora_convert.peft.names import FACTOR_BIAS, PARAMETERS, is_embedding, is_output, parse_name, unwrapped
from edgelora_convert.peft.readers import READERS

PATH = "model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    "wrapped",
    [
        PATH,
        f"base_model.model.{PATH}",
        f"base_model.model.base_model.model.{PATH}",
        f"module.base_model.model.{PATH}",
        f"_fsdp_wrapped_module._orig_mod.base_model.model.{PATH}",
        f"base_model.model.module._orig_mod.transformer_module.{PATH}",
        f"model.base_model.model.{PATH}",
        "base_model.model.model._orig_mod.layers.0._checkpoint_wrapped_module.self_attn._fsdp_wrapped_module.q_proj",
        "_forward_module.base_model.model.model.layers._orig_mod.0.self_attn.q_proj",
    ],
)
def test_wrappers_are_removed(wrapped: str) -> None:
    assert unwrapped(wrapped) == PATH
    assert parse_name(f"{wrapped}.lora_A.weight")[:2] == (PATH, "lora_A")


def test_hostile_names_take_no_time() -> None:
    for name in ("module." * 10**6, "base_model.model." * 10**6, "a." * 10**6 + "lora_A.weight", "." * 10**6):
        assert unwrapped(name) in ("", name)
        assert parse_name(name) is None


def test_modules_that_only_look_like_wrappers_stay() -> None:
    for path in ("model.module.x", "model.modules.0", "my_orig_mod.x", "base_models.x"):
        assert unwrapped(path) == path


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_the_adapters_name_is_removed(parameter: str) -> None:
    for name in (parameter, f"{parameter}.weight", f"{parameter}.default", f"{parameter}.my adapter-2.weight"):
        assert parse_name(f"base_model.model.{PATH}.{name}")[:2] == (PATH, parameter)


@pytest.mark.parametrize(
    "name",
    [
        "lora_A.weight", f"{PATH}.weight", f"{PATH}.lora_B.bias", f"{PATH}.lora_B.x.bias",
        f"{PATH}.lora_A.x.y.weight", f"{PATH}.lora_magnitudes", f"{PATH}.lora_AB", "", ".", "lora_A",
    ],
)  # fmt: skip
def test_other_names_are_no_parameters(name: str) -> None:
    assert parse_name(name) is None


def test_every_parameter_is_one_of_a_type_that_is_read() -> None:
    read = {parameter for reader in READERS.values() for parameter in reader.parameters | reader.ignored}
    assert read == {*PARAMETERS, FACTOR_BIAS}


def test_embeddings_and_outputs_by_name() -> None:
    assert is_embedding("model.embed_tokens")
    assert is_embedding("backbone.embeddings")
    assert is_embedding("transformer.wte")
    assert is_output("lm_head")
    assert not is_embedding("lm_head")
    assert not is_output(PATH)
