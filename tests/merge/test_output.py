"""The final name belongs to complete files only, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.streaming import merge

from edgelora.errors import MergeError
from edgelora.merge.output import replacing
from edgelora.types import Progress

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_any_moment_no_incomplete_file_has_the_name(
    kills: int, demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    complete = merge(demo_base, {adapters[0]: 1}, tmp_path / "complete.gguf", "F16", threads=2).read_bytes()
    folder, chance, unfinished = tmp_path / "out", random.Random(kills), 0
    folder.mkdir()
    out = folder / "merged.gguf"
    for _ in range(kills):
        _killed(out, demo_base, adapters[0], chance.uniform(0, 0.08))
        unfinished += any(folder.glob(".*.part"))
        assert not out.exists() or out.read_bytes() == complete
        out.unlink(missing_ok=True)
    assert unfinished
    merge(demo_base, {adapters[0]: 1}, out, "F16")
    assert list(folder.iterdir()) == [out]  # what the killed ones left is gone


def _killed(out: Path, base: Path, adapter: Path, after_s: float) -> None:
    """Merge again and again in a process of its own, and kill it ``after_s`` seconds after it began to write."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "streaming.py"), str(base), str(adapter), str(out)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'convert'}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"merging\n"
        while not out.exists() and not any(out.parent.glob(".*.part")):
            time.sleep(0.001)
        time.sleep(after_s)
        process.kill()


class StopError(Exception):
    pass


def _after(pieces: int, stop: BaseException) -> Iterator[None]:
    for _ in range(pieces):
        yield
    raise stop


@pytest.mark.parametrize("pieces", [0, 1, 10])
@pytest.mark.parametrize("stop", [StopError(), KeyboardInterrupt()])
def test_cancelling_leaves_what_was_there(
    pieces: int, stop: BaseException, demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    out, steps = tmp_path / "out.gguf", _after(pieces, stop)
    out.write_bytes(b"before")
    with pytest.raises(type(stop)):
        merge(demo_base, {adapters[0]: 1}, out, "F16", report=lambda progress: next(steps))
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes() == b"before"


def test_ctrl_c_leaves_nothing(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    def press(progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16", report=press)
    assert not list(tmp_path.iterdir())


@contextmanager
def file_size_limit(nbytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_may_not_grow_is_one_error(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    with file_size_limit(1 << 20), pytest.raises(MergeError, match=r"out\.gguf: cannot be written \(File too large\)"):
        merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["pwrite", "copy_file_range", "fsync"])
def test_a_disk_that_fills_up_is_one_error(
    call: str, demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = getattr(os, call), iter(range(1000))

    def fails_at_last(*args: object) -> object:
        if next(calls) >= (5 if call != "fsync" else 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(os, call, fails_at_last)
    with pytest.raises(MergeError, match=r"out\.gguf: cannot be written \(No space left on device\)"):
        merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16")
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MergeError, match=r"953,674,316 MiB are needed on this disk, [\d,]+ are free"):  # noqa: SIM117
        with replacing(tmp_path / "out.gguf", 10**15):
            pytest.fail("there is no room")
    assert not list(tmp_path.iterdir())


def test_somebody_elses_unfinished_file_is_left_alone(tmp_path: Path) -> None:
    abandoned, other = tmp_path / ".out.gguf.1.part", tmp_path / ".other.gguf.1.part"
    for path in (abandoned, other):
        path.write_bytes(b"rest")
    with replacing(tmp_path / "out.gguf", 1) as first:
        assert not abandoned.exists()
        first.write_bytes(b"first")
        with replacing(tmp_path / "other.gguf", 1):
            assert first.exists()
        command = "from pathlib import Path; from edgelora.merge.output import replacing\n"
        command += f"with replacing(Path({str(tmp_path / 'out.gguf')!r}), 1) as path: path.write_bytes(b'second')"
        subprocess.run([sys.executable, "-c", command], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        assert (tmp_path / "out.gguf").read_bytes() == b"second"
    assert (tmp_path / "out.gguf").read_bytes() == b"first"


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("", "this is a folder"),
        ("missing/out.gguf", "there is no folder"),
        ("file/out.gguf", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("pipe", "no ordinary file"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_name_that_cannot_be_written_is_one_error(out: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MergeError, match=said), replacing(tmp_path / out, 1):
        pytest.fail("this cannot be written")
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_may_not_be_written_to_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path.resolve())  # root may write everywhere
    with pytest.raises(MergeError, match="nothing may be written to"), replacing(tmp_path / "out.gguf", 1):
        pytest.fail("this cannot be written")
