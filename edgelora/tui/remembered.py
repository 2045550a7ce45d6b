"""What the chat remembers from one run to the next: favourites, when adapters were last used, the order, the theme."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from edgelora.gguf.replacing import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RECENT_BASES = 8
LONGEST_MEMORY = 1000
"""Adapters whose last use is remembered."""


@dataclass
class Remembered:
    """Kept in ``file``, a small JSON file that is replaced at once; without one nothing outlives the run.

    Adapters are remembered by name, so that a newer file of the same name is still the favourite. A file that cannot
    be read counts as empty, and one that cannot be written is not: it is a convenience, never a reason to fail.
    """

    file: Path | None = None
    favourites: list[str] = field(default_factory=list)
    used: dict[str, float] = field(default_factory=dict)  # adapter -> seconds since 1970
    order: str = "name"
    bases: list[str] = field(default_factory=list)  # paths, latest first
    theme: str = ""

    @classmethod
    def read(cls, file: Path) -> Remembered:
        """What ``file`` says, as far as it makes sense."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = None
        remembered = cls(file)
        for name, value in (found if isinstance(found, dict) else {}).items():
            if name in _KEPT and _makes_sense(value, getattr(remembered, name)):
                setattr(remembered, name, value)
        return remembered

    def toggle_favourite(self, name: str) -> None:
        """Make ``name`` a favourite, or an ordinary adapter again."""
        if name in self.favourites:
            self.favourites.remove(name)
        else:
            self.favourites.append(name)
        self._write()

    def note_use(self, names: Iterable[str]) -> None:
        """These adapters are being used."""
        for name in names:
            self.used.pop(name, None)  # the latest comes last
            self.used[name] = time.time()
        for name in list(self.used)[:-LONGEST_MEMORY]:
            del self.used[name]
        self._write()

    def note_base(self, path: Path) -> None:
        """This base was opened."""
        text = str(path.absolute())
        self.bases = [text, *(other for other in self.bases if other != text)][:RECENT_BASES]
        self._write()

    def choose(self, **chosen: str) -> None:
        """Remember an ``order`` or a ``theme``."""
        for name, value in chosen.items():
            setattr(self, name, value)
        self._write()

    def _write(self) -> None:
        if self.file is None:
            return
        kept = {name: value for name, value in asdict(self).items() if name in _KEPT}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as temporary:
                temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        except OSError:
            self.file = None  # there is no use in trying again


_KEPT = {each.name for each in fields(Remembered)} - {"file"}


def _makes_sense(value: Any, like: Any) -> bool:
    match like:
        case str():
            return isinstance(value, str)
        case list():
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, dict) and all(type(each) in (int, float) for each in value.values())
