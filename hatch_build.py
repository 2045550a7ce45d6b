"""Builds edgelora/native/mask_callback.c on the way to a wheel or an editable install.

Without a compiler, or where it fails, nothing is built and nothing is said: the callback in Python serves then.
``python hatch_build.py`` builds it in place.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("edgelora", "native")
SOURCE = "mask_callback.c"
LIBRARY = "libmask_callback.so"
FLAGS = ("-std=c11", "-O3", "-fPIC", "-shared")


class MaskCallbackHook(BuildHookInterface):
    """Adds the library to the wheel, which is then one for this platform only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it; hatchling calls this before it collects the files, for an editable install too."""
        if self.target_name == "wheel" and build(Path(self.root) / NATIVE, Path(self.root) / NATIVE):
            build_data["artifacts"].append(f"{NATIVE.as_posix()}/{LIBRARY}")
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


def build(source: Path, target: Path) -> Path | None:
    """Compile the source in one folder into a library in the other; None where there is no compiler that does it."""
    compiler = _compiler()
    if not compiler:
        return None
    text = source / SOURCE
    library, unfinished = target / LIBRARY, target / f"{LIBRARY}.{os.getpid()}"
    digest = hashlib.sha256(text.read_bytes()).hexdigest()
    command = [*compiler, *FLAGS, f'-DEDGELORA_SOURCE="{digest}"', "-o", str(unfinished), str(text)]
    try:
        subprocess.run(command, check=True, capture_output=True)
        unfinished.replace(library)
    except (OSError, subprocess.CalledProcessError):
        unfinished.unlink(missing_ok=True)
        return None
    return library


def _compiler() -> list[str]:
    """The C compiler that CMake would take, or the one that Python was built with."""
    named = shlex.split(os.environ.get("CC", ""))
    if named:
        return named
    built_with = shlex.split(sysconfig.get_config_var("CC") or "")[:1]
    return next(([name] for name in ("cc", "gcc", "clang", *built_with) if shutil.which(name)), [])


if __name__ == "__main__":
    print(build(NATIVE, NATIVE) or "no C compiler could build it")
