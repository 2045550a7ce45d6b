"""Settings turned into what the engine takes: defaults and the base's own hints fill what nobody set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.config import locations
from edgelora.config.known_bases import named_base
from edgelora.config.settings import SAMPLING, Settings
from edgelora.errors import ConfigError, UsageError
from edgelora.types import EngineConfig, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HINTS = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
}
"""Keys after ``general.sampling.`` in a base (gguf-py/gguf/constants.py in llama.cpp), and what they mean here."""


def base_path(settings: Settings) -> Path:
    """The base to open: the one that was set, by path or name, else the demo's. Raises ConfigError if it is missing."""
    if settings.base:
        return named_base(str(settings.base))
    path = locations.demo_base()
    if path.is_file():
        return path
    raise ConfigError(f"the embedded demo is missing ({path})", "Reinstall edgelora, or give a base with --base.")


def history_path(settings: Settings) -> Path | None:
    """Where the chat keeps conversations; None where it should not."""
    if settings.history is False:
        return None
    return locations.expanded(settings.history) if settings.history else locations.history_file()


def engine_config(settings: Settings) -> EngineConfig:
    """How to open the engine."""
    return EngineConfig(
        base=base_path(settings),
        ctx=settings.ctx,
        threads=settings.threads,
        gpu_layers=settings.gpu_layers or 0,
        adapter_bytes=settings.adapter_memory,
        prepared_bytes=settings.prepared_memory,
        parked_bytes=settings.parked_memory,
        parked_folder=settings.parked_folder and locations.expanded(settings.parked_folder),
    )


def sampling_params(
    settings: Settings,
    hints: Mapping[str, float],
    *,
    card: Mapping[str, float] | None = None,
    max_tokens: int | None = None,
) -> SamplingParams:
    """What was set, over an adapter's ``card``, the base's ``hints`` (BaseInfo.sampling_hints) and the defaults."""
    chosen: dict[str, object] = {**_usable(hints), **(card or {})}
    chosen |= {name: value for name in SAMPLING if (value := getattr(settings, name)) is not None}
    return SamplingParams(max_tokens=max_tokens, **chosen)  # type: ignore[arg-type]


def _usable(hints: Mapping[str, float]) -> dict[str, object]:
    """The hints that mean something here. Nobody typed them, so one out of range is left out and not an error."""
    found: dict[str, object] = {}
    for hint, name in _HINTS.items():
        if hint in hints:
            value = int(hints[hint]) if name == "top_k" else float(hints[hint])
            try:
                SamplingParams(**{name: value})  # type: ignore[arg-type]
            except UsageError:
                continue
            found[name] = value
    return found
