from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.adapters import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from conftest import Edgelora


def test_path_is_the_folder_that_is_read(
    edgelora: Edgelora, demo_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path / "mine"))
    assert edgelora("adapters", "path").out == f"{tmp_path / 'mine'}\n"
    file = write_adapter(tmp_path / "mine" / "own.gguf", demo_base, rank=4)
    (tmp_path / "mine" / "broken.gguf").write_bytes(b"GGUF")
    listed = {row["name"]: row for row in json.loads(edgelora("adapters", "list", "--json").out)["adapters"]}
    assert (listed["own"]["sha256"], listed["own"]["rank"], listed["own"]["problem"]) == (file.sha256, 4, None)
    assert listed["broken"]["problem"]
    lines = edgelora("adapters", "list").out.splitlines()
    assert any(line.startswith("own ") and "rank 4" in line for line in lines)
    assert any(line.startswith("broken ") and "cannot be used" in line for line in lines)
