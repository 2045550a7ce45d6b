"""Which files of a repository a conversion needs, and what to say where there is no adapter."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapters.safetensors")
"""Of several, the first one is taken."""

WEIGHTS_ENDINGS = (".safetensors", ".bin", ".gguf")
COMPANIONS = (
    CONFIG,
    "adapter_model.safetensors.index.json",
    "adapter_model.bin.index.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
    "README.md",
)
"""Small files that say what an adapter is, and what it was trained with."""

_WHOLE_MODEL = ("model*.safetensors", "pytorch_model*.bin", "consolidated*", "*.gguf", "model.safetensors.index.json")
_NO_ADAPTER = (*_WHOLE_MODEL, "*-of-*", "optimizer*", "[0-9]*_adapters.safetensors")
_LISTED = 8


class NothingToConvert(Exception):  # noqa: N818, an answer rather than an error until the caller makes it one
    """There is no adapter at that place: ``reason``, and ``hint`` where something else would work."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class Selection:
    """Paths in the repository. ``weights`` is None where only the reader of the folder can say what is missing.

    ``is_file``: the weights are what was meant, not the folder they are in.
    """

    weights: str | None
    companions: tuple[str, ...] = ()
    is_file: bool = False

    @property
    def is_gguf(self) -> bool:
        """Is it a GGUF file?"""
        return (self.weights or "").endswith(".gguf")

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything, with the weights at the end: where they are, the rest is."""
        return (*self.companions, *filter(None, [self.weights]))


def select(paths: Collection[str], place: str) -> Selection:
    """What to take from ``place``, a folder or a file of a repository that holds ``paths``. Raises NothingToConvert."""
    if place in paths:
        return _file(paths, place)
    inside = _names_in(paths, place)
    at = f"{place}/" if place else ""
    if _is_adapter(inside):
        return Selection(_weights(inside, at), _companions(inside, at))
    adapters = adapter_folders(paths)
    if adapters and not any(name.endswith(".gguf") for name in inside):
        raise NothingToConvert(f"there is no adapter {_where(place)}, but in {_listed(adapters)}", _choose(adapters))
    return Selection(at + _only_gguf(inside, at, place), is_file=True)


def _file(paths: Collection[str], path: str) -> Selection:
    """One file, and what is beside it if it needs that."""
    if not path.endswith(WEIGHTS_ENDINGS):
        raise NothingToConvert(f"{path} does not hold an adapter's weights")
    folder, slash, _ = path.rpartition("/")
    companions = () if path.endswith(".gguf") else _companions(_names_in(paths, folder), folder + slash)
    return Selection(path, companions, is_file=True)


def _names_in(paths: Iterable[str], folder: str) -> set[str]:
    split = (path.rpartition("/") for path in paths)
    return {name for parent, _, name in split if parent == folder}


def _companions(names: Collection[str], at: str) -> tuple[str, ...]:
    return tuple(at + name for name in COMPANIONS if name in names)


def _weights(names: Collection[str], at: str) -> str | None:
    """The weights in an adapter's folder: by their usual name, or the only other file that could be them."""
    others = [name for name in names if name.endswith(".safetensors") and not _is_like(name, _NO_ADAPTER)]
    usual = [name for name in WEIGHTS if name in names]
    candidates = usual[:1] or sorted(others)
    if len(candidates) > 1:
        several = [at + name for name in candidates]
        raise NothingToConvert(f"several files could be its weights: {_listed(several)}", _choose(several))
    return at + candidates[0] if candidates else None


def _is_like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def adapter_folders(paths: Iterable[str]) -> list[str]:
    """Folders with an adapter in them, checkpoints of the training last."""
    found: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        found.setdefault(folder, set()).add(name)
    adapters = (folder for folder, names in found.items() if folder and _is_adapter(names))
    return sorted(adapters, key=lambda folder: ("checkpoint-" in folder, len(folder), folder))


def _is_adapter(names: Collection[str]) -> bool:
    return CONFIG in names or any(name in names for name in WEIGHTS)


def _only_gguf(inside: Collection[str], at: str, folder: str) -> str:
    """The one GGUF in a folder without any other adapter; the caller finds out whether it is one."""
    ggufs = sorted(name for name in inside if name.endswith(".gguf"))
    if len(ggufs) == 1:
        return ggufs[0]
    if ggufs:
        several = [at + name for name in ggufs]
        raise NothingToConvert(f"there are several GGUF files {_where(folder)}: {_listed(several)}", _choose(several))
    if folder and not inside:
        raise NothingToConvert(f"there is no folder {folder} in the repository")
    raise NothingToConvert(f"there is no adapter {_where(folder)}: {_what(inside)}")


def _what(names: Collection[str]) -> str:
    """What a folder without an adapter holds."""
    model = sorted(name for name in names if _is_like(name, _WHOLE_MODEL))
    if model:
        return f"it holds a whole model ({_listed(model)})"
    return f"neither {CONFIG} nor weights of a known name, only {_listed(sorted(names))}" if names else "it is empty"


def _where(folder: str) -> str:
    return f"in {folder}" if folder else "at the top of the repository"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _choose(choices: list[str]) -> str:
    return f"Choose one, like --subfolder {choices[0]}"
