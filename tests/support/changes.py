"""What a reader found, as plain matrices."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from edgelora_convert.peft.folder import read_peft
from edgelora_convert.problems import Problems
from edgelora_convert.sources.find import PeftFolder, find_source
from edgelora_convert.update import Kind
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgelora_convert.source import Source
    from edgelora_convert.update import Update

WEIGHTS = "adapter_model.safetensors"
Place = tuple[str, int | None]
"""A module, and the expert in it."""


@dataclass(frozen=True)
class BaseWeight:
    """A weight of the base that is held in memory."""

    values: np.ndarray
    arch: str = "qwen3moe"

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape  # type: ignore[return-value]

    def rows(self, indices: Sequence[int]) -> np.ndarray:
        return self.values[list(indices)].astype(np.float32)


@dataclass(frozen=True)
class Reading:
    """A source with what was said about it; what only a merge can express is a problem here."""

    source: Source
    problems: list[str]
    warnings: list[str]

    def changes(self, weights: Mapping[str, np.ndarray]) -> dict[Place, np.ndarray]:
        """The change of every weight, f64 in the weight's own layout; ``weights`` by module."""
        found: dict[Place, np.ndarray] = {}
        pending = [entry.complete(BaseWeight(_of(weights, entry))) for entry in self.source.pending]
        for update in (*self.source.updates, *pending):
            place = update.module, update.expert
            found[place] = found.get(place, 0) + change(update)
        return found


def _of(weights: Mapping[str, np.ndarray], entry: Any) -> np.ndarray:
    return weights[entry.module] if entry.expert is None else weights[entry.module][entry.expert]


def change(update: Update) -> np.ndarray:
    """scale·B·A, f64, of an embedding as the rows of its table."""
    a, b = (matrix.load().astype(np.float64) for matrix in (update.a, update.b))
    assert (a.shape, b.shape) == (update.a.shape, update.b.shape)
    product = update.scale * (b @ a)
    return product.T if update.kind is Kind.EMBEDDING else product


def folder_of(folder: Path, tensors: Mapping[str, np.ndarray], **fields: Any) -> Path:
    """A PEFT folder with these tensors and fields."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, folder / WEIGHTS)
    return folder


def read(folder: Path, **options: Any) -> Reading:
    """Read a PEFT folder, whatever is wrong with it."""
    problems, warnings = Problems("source"), Problems("source")
    found = find_source(folder, problems)
    assert isinstance(found, PeftFolder)
    source = read_peft(found, problems, warnings, **options)
    for cause, text in source.only_merged.items():
        problems.refuse(cause, text)
    return Reading(source, problems.lines(), warnings.lines())


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The relative Frobenius norm of the difference."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
