from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import edgelora
from edgelora.config import locations

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("present", "found"), [("in", "in"), ("beside", "beside"), ("both", "in"), ("neither", "in")])
def test_models_in_the_package_come_before_models_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: str, found: str
) -> None:
    package = tmp_path / "edgelora"
    package.mkdir()
    monkeypatch.setattr(edgelora, "__file__", str(package / "__init__.py"))
    places = {"in": package / "models", "beside": tmp_path / "models"}
    for name, path in places.items():
        if present in (name, "both"):
            path.mkdir()
    assert locations.models_dir() == places[found]
    assert locations.demo_base() == places[found] / "demo.gguf"


def test_the_adapter_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path))
    assert locations.adapters_dir() == tmp_path
    monkeypatch.setenv("EDGELORA_ADAPTERS", "~/mine")
    assert "~" not in str(locations.adapters_dir())
    monkeypatch.delenv("EDGELORA_ADAPTERS")
    assert locations.adapters_dir().name == "adapters"
