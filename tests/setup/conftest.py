from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from support.checkout import PYPROJECT, ROOT, STUB_PYTHON, Checkout, write_script

sys.path.insert(0, str(ROOT / "scripts"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    root = tmp_path / "check out"
    shutil.copytree(ROOT / "scripts" / "bootstrap", root / "scripts" / "bootstrap")
    shutil.copy2(ROOT / "scripts" / "edgelora", root / "scripts" / "edgelora")
    (root / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (root / "edgelora" / "native").mkdir(parents=True)
    (root / "edgelora" / "native" / "mask_callback.c").write_text("int callback;\n", encoding="utf-8")
    stub = write_script(tmp_path / "host" / "python3", STUB_PYTHON)
    calls = tmp_path / "calls.txt"
    monkeypatch.setenv("STUB_CALLS", str(calls))
    monkeypatch.setenv("STUB_FAIL", "")
    monkeypatch.setattr(sys, "executable", str(stub))
    return Checkout(root, calls)
