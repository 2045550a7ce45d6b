"""Which files of a repository a conversion needs, and what to say where there is no adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import ConversionError
from edgelora_convert.sources.find import CONFIG
from edgelora_convert.sources.folder_texts import TEXT_FILES
from edgelora_convert.sources.hub.address import WEIGHTS, WEIGHTS_ENDINGS
from edgelora_convert.sources.other_files import what_its_name_says

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from edgelora_convert.sources.hub.address import HubAddress

_LISTED = 8


def select(paths: Collection[str], address: HubAddress) -> list[str]:
    """What to take of a repository that holds ``paths``: texts, configuration and, last, the weights.

    Raises ConversionError where there is no adapter at ``address``, with what is there instead.
    """
    folder, _, name = address.subfolder.rpartition("/") if address.subfolder in paths else (address.subfolder, "", "")
    inside = {path.rpartition("/")[2] for path in paths if path.rpartition("/")[0] == folder}
    weights = name if name.endswith(WEIGHTS_ENDINGS) else _weights(inside)
    if not weights:
        raise ConversionError(str(address), *_instead(paths, inside, folder))
    beside = () if weights.endswith(".gguf") else (*TEXT_FILES, CONFIG)
    return [_join(folder, file) for file in (*(file for file in beside if file in inside), weights)]


def _weights(names: Collection[str]) -> str:
    """The weights among the files of a folder: by their usual name, or the only file that could be them."""
    usual = [name for name in WEIGHTS if name in names]
    candidates = usual[:1] or _candidates(names)
    return candidates[0] if len(candidates) == 1 else ""


def _candidates(names: Collection[str]) -> list[str]:
    """A lone GGUF may be an adapter too; its head will tell."""
    endings = (".safetensors", ".gguf") if CONFIG in names else (".gguf",)
    return sorted(name for name in names if name.endswith(endings) and not what_its_name_says(Path(name)))


def _instead(paths: Iterable[str], inside: Collection[str], folder: str) -> tuple[list[str], str]:
    """Reason and hint for a place without weights, or with too many."""
    where = f"in {folder}" if folder else "at the top of the repository"
    candidates = [_join(folder, name) for name in _candidates(inside)]
    if len(candidates) > 1:
        return [f"several files {where} could be the adapter: {_listed(candidates)}"], _choose(candidates)
    if adapters := _adapter_folders(paths, folder):
        return [f"there is no adapter {where}, but in {_listed(adapters)}"], _choose(adapters)
    if folder and not inside:
        return [f"there is no folder {folder} in the repository"], ""
    known = filter(None, (what_its_name_says(Path(name)) for name in sorted(inside)))
    other = f"no weights of a known name, only: {_listed(sorted(inside)) or 'nothing'}"
    return [f"there is no adapter {where}: {next(known, other)}"], ""


def _adapter_folders(paths: Iterable[str], besides: str) -> list[str]:
    """Folders with an adapter in them, checkpoints of the training last and in their order."""
    found = {folder for folder, _, name in (path.rpartition("/") for path in paths) if name in (CONFIG, *WEIGHTS)}
    return sorted(found - {besides, ""}, key=lambda folder: ("checkpoint-" in folder, len(folder), folder))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _choose(choices: list[str]) -> str:
    return f"Choose one, like --subfolder {choices[0]}"
