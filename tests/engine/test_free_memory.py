"""Free memory inside control groups, from files like those of Linux."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from edgelora.engine import free_memory as module
from edgelora.engine.free_memory import cgroup_rooms, free_memory

MIB = 2**20


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


@pytest.fixture
def membership(tmp_path: Path) -> Path:
    return tmp_path / "self" / "cgroup"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "fs"


def test_version_2_counts_every_level_and_what_the_cache_can_give_back(root: Path, membership: Path) -> None:
    write(membership, "0::/slice/job")
    write(root / "slice/job/memory.max", "max")
    write(root / "slice/job/memory.current", 10 * MIB)
    write(root / "slice/memory.max", 1000 * MIB)
    write(root / "slice/memory.current", 700 * MIB)
    write(root / "slice/memory.stat", f"anon 1\ninactive_file {40 * MIB}\nactive_file {60 * MIB}")
    assert list(cgroup_rooms(root, membership)) == [400 * MIB]


def test_version_1_has_names_of_its_own(root: Path, membership: Path) -> None:
    write(membership, "5:cpu,cpuacct:/job\n4:memory:/job\n1:name=systemd:/")
    write(root / "memory/job/memory.limit_in_bytes", 512 * MIB)
    write(root / "memory/job/memory.usage_in_bytes", 100 * MIB)
    write(root / "memory/job/memory.stat", f"inactive_file 1\ntotal_inactive_file {MIB}")
    write(root / "memory/memory.limit_in_bytes", 2**63 - 4096)
    write(root / "memory/memory.usage_in_bytes", 0)
    assert min(cgroup_rooms(root, membership)) == 413 * MIB


def test_a_container_sees_its_own_group_as_the_root(root: Path, membership: Path) -> None:
    write(membership, "0::/docker/0123456789ab")
    write(root / "memory.max", 64 * MIB)
    write(root / "memory.current", 80 * MIB)
    assert list(cgroup_rooms(root, membership)) == [0]


@pytest.mark.parametrize("line", ["", "nonsense", "0::/", "0::/../other", "4:memory:/gone"])
def test_without_limits_there_are_none(root: Path, membership: Path, line: str) -> None:
    write(membership, line)
    write(root / "memory.max", "max")
    write(root / "memory.current", "what?")
    assert list(cgroup_rooms(root, membership)) == []


def test_the_smallest_counts(root: Path, membership: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CGROUPS", root)
    monkeypatch.setattr(module, "MEMBERSHIP", membership)
    assert free_memory() == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    write(membership, "0::/")
    write(root / "memory.max", 30 * MIB)
    write(root / "memory.current", 10 * MIB)
    assert free_memory() == 20 * MIB
