from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from demo.folders import copy, fill

if TYPE_CHECKING:
    from pathlib import Path


def test_an_interrupted_step_is_done_again_and_a_finished_one_is_not(tmp_path: Path) -> None:
    target = tmp_path / "work" / "base"

    def interrupted(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(target, interrupted)
    assert not target.exists()
    fill(target, lambda folder: (folder / "all").write_text("first"))
    fill(target, lambda folder: (folder / "all").write_text("second"))
    assert [path.name for path in target.iterdir()] == ["all"]
    assert (target / "all").read_text() == "first"
    assert [path.name for path in target.parent.iterdir()] == ["base"]


def test_a_copy_replaces_what_was_there(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    copy(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["new"]
