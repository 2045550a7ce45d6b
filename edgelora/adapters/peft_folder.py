"""What a PEFT folder says about itself before it is converted: its adapter_config.json and the size of its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgelora.errors import AdapterError

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class PeftFacts:
    """Rank, short names of the target modules, and the bytes of the weights."""

    rank: int
    targets: tuple[str, ...]
    n_bytes: int


def is_peft_folder(path: Path) -> bool:
    """Whether ``path`` is a folder that holds a PEFT adapter."""
    return (path / CONFIG).is_file()


def peft_facts(folder: Path) -> PeftFacts:
    """Facts of a PEFT folder. Raises AdapterError where the configuration cannot be read."""
    config = _read_config(folder / CONFIG)
    rank, targets = config.get("r"), config.get("target_modules")
    return PeftFacts(
        rank=rank if isinstance(rank, int) else 0,
        targets=tuple(sorted(map(str, targets))) if isinstance(targets, list) else (str(targets or "?"),),
        n_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AdapterError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise AdapterError(f"{path}: is not JSON ({error})") from None
    if not isinstance(config, dict):
        raise AdapterError(f"{path}: is not a JSON object")
    return config
