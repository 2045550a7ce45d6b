"""adapter_config.json of mlx-lm: how strong an adapter is, and whether it is one that can be converted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgelora_convert.limits import MAX_FACTOR
from edgelora_convert.storage.config_file import ConfigFileError, read_object, spelled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgelora_convert.problems import Problems

DORA = "it is a DoRA adapter: it rescales whole rows of the base, which no GGUF adapter can"
_TYPES = {
    "dora": DORA,
    "full": "the whole model was fine-tuned (fine_tune_type is full), so no adapter is in it; convert the model itself",
}


@dataclass(frozen=True)
class MlxConfig:
    """``scale`` is the factor of every pair, ``base_name`` the hub id or path of the model, or empty."""

    scale: float
    base_name: str


def read_mlx_config(path: Path, problems: Problems, warnings: Problems) -> MlxConfig:
    """Read the configuration; what in it rules the adapter out goes to ``problems``.

    Raises ConversionError where it cannot be read.
    """
    try:
        fields = read_object(path)
    except ConfigFileError as error:
        problems.stop("config", str(error))
    kind = "dora" if fields.get("use_dora") else fields.get("fine_tune_type", "lora")
    if kind != "lora":
        reason = _TYPES.get(str(kind), f"its fine_tune_type is {spelled(kind)}; only lora can be converted")
        problems.refuse("type", reason)
    base_name = fields.get("model")
    return MlxConfig(_scale(fields, problems, warnings), base_name if isinstance(base_name, str) else "")


def _scale(fields: Mapping[str, Any], problems: Problems, warnings: Problems) -> float:
    given = fields.get("lora_parameters")
    parameters = given if isinstance(given, dict) else {}
    scale, alpha, rank = (_number(parameters.get(name)) for name in ("scale", "alpha", "rank"))
    if scale is None:
        problems.refuse("scale", f"lora_parameters.scale is {spelled(parameters.get('scale'))}; it must be a number")
        return 1.0
    if "num_layers" not in fields and alpha and rank and alpha != rank:
        warnings.refuse("alpha", _two_meanings(scale, alpha / rank))
    return scale


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_FACTOR:
        return float(value)
    return None


def _two_meanings(scale: float, factor: float) -> str:
    """mlx-lm ignores alpha since 2 June 2024 (mlx-examples #614), but its example went on to have one.

    Only configurations from before October 2024, which have lora_layers for num_layers, can be older.
    """
    return (
        f"its configuration has an alpha beside the scale of {scale:g}; mlx-lm ignores it since June 2024, and it is "
        f"ignored here. If the adapter is older, its scale is {scale * factor:g}: convert it with --scale {factor:g}"
    )
