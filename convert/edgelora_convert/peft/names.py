"""The names that PEFT gives its tensors: module, parameter, and what other tools leave in between."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_NAME = 1000
"""No model has longer paths."""

PARAMETERS = (
    "lora_A",
    "lora_B",
    "lora_E",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "lora_velora_embed",
    "ranknum",
    "trainable_tokens_delta",
    "hada_w1_a",
    "hada_w1_b",
    "hada_w2_a",
    "hada_w2_b",
    "hada_t1",
    "hada_t2",
    "lokr_w1",
    "lokr_w1_a",
    "lokr_w1_b",
    "lokr_w2",
    "lokr_w2_a",
    "lokr_w2_b",
    "lokr_t2",
    "vera_A",
    "vera_B",
    "vera_lambda_b",
    "vera_lambda_d",
    "miss_block",
)
"""Of all types that can be read: ``adapter_layer_names`` of peft/tuners/*/layer.py."""

# PEFT takes the adapter's name out (tuners_utils.py, _remove_adapter_name_from_key); other tools leave it in.
_PARAMETER = re.compile(
    rf"(?P<module>.+)\.(?P<parameter>{'|'.join(PARAMETERS)})(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.weight)?"
)

FACTOR_BIAS = "lora_B.bias"
_FACTOR_BIAS = re.compile(r"(?P<module>.+)\.lora_B(?:\.[^.]+)?\.bias")
_WHOLE = re.compile(r"(?P<module>.+?)(?:\.base_layer)?\.(?P<parameter>weight|bias)")

_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""What torch.compile, FSDP, activation checkpointing and Lightning put anywhere into a path."""

_PREFIXES = re.compile(
    r"(?:base_model\.model\.|base_model\.|model\.base_model\.model\.|module\.|transformer_module\.)*"
)
"""What PEFT and data parallel training put before a path, also several times."""

_EMBEDDINGS = frozenset(
    {
        *("embed_in", "embed_tokens", "embedding", "embeddings", "tok_embeddings", "token_embeddings", "tokens_embed"),
        *("word_embeddings", "wte"),
    }
)
"""What Transformers and the models in mlx_lm/models call their table of token embeddings."""

_OUTPUTS = frozenset({"lm_head", "embed_out", "output"})


class ParameterName(NamedTuple):
    """A tensor's name in parts; ``module`` is without wrappers, ``adapter`` mostly empty."""

    module: str
    parameter: str
    adapter: str = ""


def parse_name(name: str) -> ParameterName | None:
    """The module and parameter that a tensor belongs to, None where it is no parameter of a known type."""
    match = _PARAMETER.fullmatch(name) if len(name) <= MAX_NAME else None
    return ParameterName(unwrapped(match["module"]), match["parameter"], match["adapter"] or "") if match else None


def parse_factor_bias(name: str) -> ParameterName | None:
    """The module that a bias of a factor B (lora_bias) belongs to, None where it is something else."""
    match = _FACTOR_BIAS.fullmatch(name) if len(name) <= MAX_NAME else None
    return ParameterName(unwrapped(match["module"]), FACTOR_BIAS) if match else None


def parse_whole(name: str) -> ParameterName | None:
    """The module whose own weight or bias this is, adapted (``base_layer``) or not."""
    match = _WHOLE.fullmatch(name) if parse_name(name) is None else None
    return ParameterName(unwrapped(match["module"]), match["parameter"]) if match else None


def unwrapped(path: str) -> str:
    """A module path without what PEFT, torch.compile and distributed training put into it."""
    path = ".".join(part for part in path.split(".") if part not in _WRAPPERS)
    return _PREFIXES.sub("", path, count=1)


def is_embedding(module: str) -> bool:
    """Whether a module's own name is one that models give to the table of token embeddings."""
    return module.rpartition(".")[2] in _EMBEDDINGS


def is_output(module: str) -> bool:
    """Whether a module's own name is one that models give to the output matrix."""
    return module.rpartition(".")[2] in _OUTPUTS
