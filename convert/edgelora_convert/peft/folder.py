"""A PEFT folder: configuration and weights to a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora_convert.peft.config import read_config
from edgelora_convert.peft.lora import lora_updates
from edgelora_convert.source import Source
from edgelora_convert.storage.tensor_file import open_tensors

if TYPE_CHECKING:
    from edgelora_convert.problems import Problems
    from edgelora_convert.sources.find import PeftFolder


def read_peft(found: PeftFolder, problems: Problems, warnings: Problems) -> Source:
    """What PEFT saved in a folder. Raises ConversionError where nothing more could be found out."""
    config = read_config(found.config, problems)
    tensors = open_tensors(found.weights, problems)
    updates = lora_updates(config, tensors, problems, warnings)
    if not updates and not problems:
        problems.refuse("empty", f"{found.weights.name} holds no LoRA factors")
    return Source(
        name=found.name,
        files=(found.config, found.weights),
        updates=tuple(updates),
        base_name=config.base_name,
        folder=found.folder,
    )
