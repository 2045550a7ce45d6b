"""What the ``model`` of a request means: a selection in any form, with the limits of a request from outside."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.adapters.selection import BASE_NAME, MemberText, format_selection, parse_selection
from edgelora.errors import AdapterError, UnknownAdapterError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".ckpt"})
NO_SUCH_MODEL = "GET /v1/models lists what there is."


@dataclass(frozen=True, slots=True)
class ModelNames:
    """``base`` are the names that mean the base; ``roots`` the folders in which a request may name files."""

    base: Collection[str]
    roots: Sequence[Path] = ()

    def selection(self, model: str) -> str:
        """The canonical text of ``model``: `legal`, `legal:0.7+medical`, `base`, `legal#the-base`, a path.

        Raises UsageError for what is no selection, UnknownAdapterError for another base or a path that may not be used.
        """
        text = model.strip()
        if text in self.base:
            return BASE_NAME
        adapter, sign, base = text.rpartition("#")
        if sign and base in self.base:
            text = adapter.strip()
        elif sign and not _names_file(text):
            raise UnknownAdapterError(f"this server has no base called {base!r}", NO_SUCH_MODEL)
        if _names_file(text) and not self.roots:
            raise UnknownAdapterError(f"there is no model {model!r}", NO_SUCH_MODEL)
        return format_selection([self._placed(member) for member in parse_selection(text)])

    def _placed(self, member: MemberText) -> MemberText:
        return replace(member, ref=str(self.located(member.ref))) if member.is_path else member

    def located(self, ref: str) -> Path:
        """The adapter that ``ref`` names within a root, links resolved. Raises UnknownAdapterError, AdapterError."""
        for root in self.roots:
            try:
                place = root.resolve()
                found = (place / ref).resolve()
                if found.is_relative_to(place) and found != place and found.exists():
                    return _harmless(found, place)
            except (OSError, RuntimeError, ValueError):  # too long a name, a loop of links, a null byte
                continue
        raise UnknownAdapterError(f"there is no adapter {ref!r} in the folders of this server", NO_SUCH_MODEL)


def _names_file(text: str) -> bool:
    return any(part in text for part in ("/", "\\", ".gguf", ".GGUF"))


def _harmless(path: Path, root: Path) -> Path:
    """``path``, none of whose files may run code or lies outside ``root``. Raises AdapterError."""
    for file in [path] if path.is_file() else path.iterdir():
        if file.suffix.lower() in _PICKLES:
            raise AdapterError(f"{path.name} holds {file.name}, which may run code", "Give GGUF or safetensors.")
        if not file.resolve().is_relative_to(root):
            raise AdapterError(f"{path.name} holds {file.name}, a link that leads elsewhere", "Put the file there.")
    return path
