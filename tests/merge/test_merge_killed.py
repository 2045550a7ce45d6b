"""A merge that is killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.merging import LEGAL, ROOT, UNVERIFIED
from support.streaming import values_of

from edgelora.gguf.reader import read_header
from edgelora.merge.merge import REPORT_KEY, merge
from edgelora.merge.options import MergeMember

if TYPE_CHECKING:
    pass


def assert_killed_leaves_no_incomplete_file(base: Path, tmp_path: Path, times: int) -> None:
    out = tmp_path / "out.gguf"
    chance = random.Random(4)
    lived = 0
    for _ in range(times):
        out.unlink(missing_ok=True)
        lived += kill_at_random(base, out, chance)
        if out.exists():
            header = read_header(out)
            assert json.loads(header.get(REPORT_KEY, ""))["adapter_kept"] > 0.9
            assert all(np.isfinite(values_of(out, name)).all() for name in header.tensors)
    assert lived < times  # some were really killed at work
    merge(base, [MergeMember(LEGAL)], out, UNVERIFIED)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]  # what the dead left is gone


def kill_at_random(base: Path, out: Path, chance: random.Random) -> bool:
    """Merge in a process and kill it some time after it began to write; whether it had ended before."""
    command = [sys.executable, "-m", "edgelora.cli", "merge", "--base", base, "--adapter", LEGAL, "-o", out]
    process = subprocess.Popen(
        [*map(str, command), "--no-verify"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    while process.poll() is None and not any(out.parent.glob(".out.gguf.*")):
        time.sleep(0.001)
    time.sleep(chance.random() * 0.2)
    process.kill()
    return process.wait() == 0


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}"}


def test_killed_at_any_moment_no_incomplete_file_has_the_name(f32_base: Path, tmp_path: Path) -> None:
    assert_killed_leaves_no_incomplete_file(f32_base, tmp_path, 3)


@pytest.mark.slow
def test_killed_twenty_times(f32_base: Path, tmp_path: Path) -> None:
    assert_killed_leaves_no_incomplete_file(f32_base, tmp_path, 20)
