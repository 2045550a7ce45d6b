"""Engines with one or the other evaluation callback."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

import pytest

from edgelora.native import mask_callback
from support.checkout import ROOT

KINDS = ("native", "python")


def use(kind: str, patch: pytest.MonkeyPatch) -> None:
    """Have engines that are opened from now on use the callback of ``kind``; skips where nothing can build it."""
    if kind == "python":
        patch.setattr(mask_callback, "load", lambda: None)
    elif not mask_callback.load():
        library = built()
        if library is None:
            pytest.skip("no C compiler")
        function = mask_callback.load(library)
        patch.setattr(mask_callback, "load", lambda: function)


@cache
def hook() -> ModuleType:
    """The build hook."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def built() -> Path | None:
    """The library, compiled as the build hook does it; None without a compiler."""
    library: Path | None = hook().build(mask_callback.SOURCE.parent, Path(mkdtemp()))
    return library
