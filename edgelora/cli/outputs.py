"""Files that a command writes beside what it prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def require_folder(path: Path) -> None:
    """Raise UsageError where ``path`` could not be written later, after minutes of work."""
    if not os.path.isdir(path.parent):  # where Path.is_dir raises for a name that is too long
        raise UsageError(f"{path} cannot be written: there is no folder {path.parent}", "Make it, or name another.")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: {path.parent} may not be written to", "Name another folder.")


def require_file(path: Path, option: str = "-o") -> None:
    """Raise UsageError for ``-``, which means stdout elsewhere."""
    if str(path) == "-":
        raise UsageError(
            f"{option} takes the path of a file, and writes nothing to stdout", f"Name one: {option} ./out"
        )


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: to a temporary name beside it, synced, renamed. Raises EdgeloraError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise EdgeloraError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        temporary.unlink(missing_ok=True)
