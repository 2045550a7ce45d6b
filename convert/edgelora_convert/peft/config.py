"""adapter_config.json of PEFT: what the converter needs from it, and what rules an adapter out for run time.

Fields and their meaning follow peft/tuners/lora/config.py and layer.py.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgelora_convert.problems import Problems

_Value = TypeVar("_Value", int, float)

MAX_CONFIG_BYTES = 16 * 1024 * 1024
MAX_SETTING = 1e9
"""No rank or alpha is larger; the comparison also keeps out NaN and infinity."""

RESIDUAL_INITS = ("pissa", "olora", "corda", "lora_ga", "loftq")
"""Initialisations that also change the base weights, so that the adapter means nothing on the original base."""

REFUSED_FIELDS: dict[str, str] = {
    "use_dora": "it is a DoRA adapter (use_dora): it rescales whole rows of the base, which no GGUF adapter can",
    "lora_bias": "its B factors have biases (lora_bias), which a GGUF adapter cannot hold; train with lora_bias=False",
    "modules_to_save": "whole modules were trained beside it (modules_to_save), which a GGUF adapter cannot hold",
    "trainable_token_indices": "token embeddings were trained beside it (trainable_token_indices)",
    "target_parameters": "it adapts expert parameters (target_parameters), which is not supported yet",
    "layer_replication": "it was trained on a model with replicated layers (layer_replication)",
    "alora_invocation_tokens": "it is an activated LoRA (alora_invocation_tokens), which is not supported yet",
    "use_qalora": "it is a QA-LoRA adapter (use_qalora), which is not supported",
    "use_bdlora": "it is a block-diagonal LoRA (use_bdlora), which is not supported",
    "arrow_config": "it is an Arrow router over several adapters (arrow_config), not one adapter",
    "kasa_config": "it is a KaSA adapter (kasa_config), which also changes the base weights",
    "monteclora_config": "it is a MonteCLoRA adapter (monteclora_config), which is not supported",
}
"""Fields that must be empty, with the reason."""


@dataclass(frozen=True)
class LoraConfig:
    """The part of a LoRA configuration that decides the scale of each module."""

    rank: int
    alpha: float
    use_rslora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    base_name: str

    def alpha_of(self, module: str) -> float:
        """alpha of a module path such as ``model.layers.0.self_attn.q_proj``."""
        return _first_match(self.alpha_pattern, module, self.alpha)

    def rank_of(self, module: str) -> int:
        """The rank that the configuration gives a module."""
        return _first_match(self.rank_pattern, module, self.rank)

    def scale_of(self, module: str, rank: int) -> float:
        """The factor that PEFT multiplies B·A of this module with (``LoraLayer.update_layer``)."""
        return self.alpha_of(module) / (math.sqrt(rank) if self.use_rslora else rank)


def _first_match(pattern: Mapping[str, _Value], module: str, default: _Value) -> _Value:
    """PEFT takes the first key that matches the end of the module path (peft/utils/other.py, get_pattern_key)."""
    for key, value in pattern.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def read_config(path: Path, problems: Problems) -> LoraConfig:
    """Read adapter_config.json; everything in it that rules the adapter out goes to ``problems``.

    Raises ConversionError where it is not a LoRA configuration at all, because nothing else would make sense then.
    """
    fields = _load(path, problems)
    peft_type = fields.get("peft_type")
    if peft_type != "LORA":
        problems.stop("peft_type", _what_type(fields))
    for field, reason in REFUSED_FIELDS.items():
        if fields.get(field):
            problems.refuse(field, reason)
    if fields.get("bias", "none") != "none":
        problems.refuse("bias", "biases were trained beside it (bias), which a GGUF adapter cannot hold")
    _check_init(fields.get("init_lora_weights", True), problems)
    return LoraConfig(
        rank=_rank(fields, problems),
        alpha=_number(fields.get("lora_alpha"), "lora_alpha", problems),
        use_rslora=bool(fields.get("use_rslora")),
        rank_pattern={key: int(value) for key, value in _pattern(fields, "rank_pattern", problems).items()},
        alpha_pattern=_pattern(fields, "alpha_pattern", problems),
        base_name=str(fields.get("base_model_name_or_path") or ""),
    )


def _load(path: Path, problems: Problems) -> dict[str, Any]:
    if path.stat().st_size > MAX_CONFIG_BYTES:
        problems.stop("config", f"{path.name} is too large to be a configuration")
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        problems.stop("config", f"{path.name} is not valid JSON ({error})")
    if not isinstance(fields, dict):
        problems.stop("config", f"{path.name} does not hold a JSON object")
    return fields


def _what_type(fields: Mapping[str, Any]) -> str:
    if "peft_type" in fields:
        return f"its type is {fields['peft_type']!r}; only LORA can be converted"
    if "lora_parameters" in fields or "fine_tune_type" in fields:
        return "it is an MLX adapter, which is not supported yet"
    return "adapter_config.json has no peft_type, so it is not a PEFT adapter"


def _check_init(init: object, problems: Problems) -> None:
    if isinstance(init, str) and init.lower().startswith(RESIDUAL_INITS):
        problems.refuse(
            "init_lora_weights",
            f"its initialisation ({init}) also changed the base weights; save it with PEFT's "
            "path_initial_model_for_weight_conversion, which turns it into an ordinary LoRA",
        )


def _rank(fields: Mapping[str, Any], problems: Problems) -> int:
    rank = fields.get("r")
    if type(rank) is not int or rank < 1:
        problems.refuse("r", f"r is {rank!r}; it must be a positive whole number")
        return 1
    return rank


def _number(value: object, name: str, problems: Problems) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_SETTING:
        return float(value)
    problems.refuse(name, f"{name} is {str(value)[:40]!r}; it must be a number")
    return 1.0


def _pattern(fields: Mapping[str, Any], name: str, problems: Problems) -> dict[str, float]:
    pattern = fields.get(name) or {}
    if not isinstance(pattern, dict):
        problems.refuse(name, f"{name} is {type(pattern).__name__}; it must be an object of numbers")
        return {}
    usable = {}
    for key, value in pattern.items():
        try:
            re.compile(key)
        except re.error as error:
            problems.refuse(f"{name} {key}", f"{name} has the invalid expression {key!r} ({error})")
            continue
        usable[key] = _number(value, f"{name}[{key!r}]", problems)
    return usable
