"""One environment of the checkout: where its parts lie, what it was made for, and whether that still holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from bootstrap.errors import SetupError


@dataclass(frozen=True)
class Settings:
    """What an environment is made for: the llama.cpp backend and the extras of pyproject.toml."""

    backend: str
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """What a command needs: the environment's folder, the extras in it, and its size on disk."""

    name: str
    extras: tuple[str, ...]
    disk_gb: float


TARGETS = {
    "edgelora": Target(".venv", (), 1.0),
    "test": Target(".venv", ("test",), 1.0),
    "train": Target(".venv-train", ("test", "train"), 3.0),
}


@dataclass(frozen=True)
class Environment:
    """The folder `root/name`; the set-up keeps its own files in `edgelora-setup` inside it."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """The virtual environment."""
        return self.root / self.name

    @property
    def notes(self) -> Path:
        """Stamp, settings, lock and log; survives when the environment is made anew."""
        return self.folder / "edgelora-setup"

    @property
    def stamp(self) -> Path:
        """Present only while the environment is whole; scripts/edgelora compares it on every start."""
        return self.notes / "stamp"

    @property
    def log(self) -> Path:
        """Everything that pip and the compiler said in the last set-up."""
        return self.notes / "log.txt"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        """The installed edgelora."""
        return self.folder / "bin" / "edgelora"

    def claim(self) -> None:
        """Make the folder for the set-up's files; refuse an environment that somebody else made."""
        if self.folder.is_dir() and not self.notes.is_dir() and any(self.folder.iterdir()):
            raise SetupError(
                f"{self.folder} was not made by edgelora. Move it away and start again:\n"
                f"    mv '{self.folder}' '{self.folder}.old'"
            )
        self.notes.mkdir(parents=True, exist_ok=True)

    def settings(self) -> Settings | None:
        """What the environment was last wanted for; None when that is not known."""
        try:
            found = json.loads((self.notes / "settings.json").read_text(encoding="utf-8"))
            return Settings(backend=found["backend"], extras=tuple(found["extras"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_whole(self) -> bool:
        """Whether the last set-up finished and its interpreter still runs."""
        if not (self.stamp.is_file() and self.command.is_file()):
            return False
        try:
            return subprocess.run([self.python, "-I", "-c", ""], check=False, capture_output=True).returncode == 0
        except OSError:
            return False

    def is_current(self, wanted: Settings) -> bool:
        """Whether the environment is whole, made from these sources at this place, and for `wanted`."""
        try:
            same = self.stamp.read_bytes() == self._stamp_content()
        except OSError:
            return False
        return same and self.settings() == wanted and self.is_whole()

    def begin(self, wanted: Settings) -> None:
        """Note what is wanted and take the stamp away until `finish`."""
        self.stamp.unlink(missing_ok=True)
        _write(self.notes / "settings.json", json.dumps(asdict(wanted)).encode())

    def finish(self) -> None:
        """Put the stamp on a finished environment."""
        _write(self.stamp, self._stamp_content())

    def empty(self) -> None:
        """Remove all but the set-up's own files: after a broken-off set-up nothing installed can be trusted."""
        for path in self.folder.iterdir():
            if path == self.notes:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _stamp_content(self) -> bytes:
        sources = (self.root / "pyproject.toml", self.root / "edgelora" / "native" / "mask_callback.c")
        return os.fsencode(self.root) + b"\n" + b"".join(source.read_bytes() for source in sources)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
