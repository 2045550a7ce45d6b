"""The demo base as transformers saved it: one safetensors file, config.json, tokenizer.json, a chat template.

Read without torch, so that every file that tests need can be derived wherever edgelora itself runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class SourceError(Exception):
    """The folder is no base that this exporter can read; the message says what is wrong and where."""


@dataclass(frozen=True)
class Source:
    """Tensors by their transformers names (F32), the configuration, and the tokenizer as saved."""

    tensors: dict[str, NDArray[np.float32]]
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    chat_template: str


def read_source(folder: Path) -> Source:
    """Read a Llama-architecture folder; raises SourceError for a missing file or another architecture."""
    config = json.loads(_text(folder / "config.json"))
    if config.get("model_type") != "llama":
        raise SourceError(f"{folder}: model_type is {config.get('model_type')!r}; only 'llama' can be exported")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise SourceError(f"{weights} is missing; build it with scripts/build_demo")
    tensors = {name: np.asarray(value, dtype=np.float32) for name, value in load_file(weights).items()}
    return Source(
        tensors=tensors,
        config=config,
        tokenizer=json.loads(_text(folder / "tokenizer.json")),
        chat_template=_text(folder / "chat_template.jinja"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; build it with scripts/build_demo") from error
