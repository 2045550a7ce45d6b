"""How much memory may still be taken: what the machine has free, or less where a control group (a container's) says so.

Sources: Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.current, memory.stat) and cgroup-v1/memory.rst
(memory.limit_in_bytes, memory.usage_in_bytes) of Linux. Elsewhere there are no such files and only the machine counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def free_memory() -> int:
    """In bytes."""
    return min([int(psutil.virtual_memory().available), *cgroup_rooms(CGROUPS, MEMBERSHIP)])


def cgroup_rooms(root: Path, membership: Path) -> Iterator[int]:
    """What each limited control group that this process is in leaves free, in bytes.

    ``membership`` lists the groups, ``root`` is where they are mounted. A group's parents limit it too. Inside a
    container its path may not exist, because only its own group is mounted: as ``root``.
    """
    for line in _text(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            yield from _rooms(root, path, "memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            yield from _rooms(root / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")


def _rooms(root: Path, path: str, limit_name: str, usage_name: str, prefix: str) -> Iterator[int]:
    inner = root / path.lstrip("/")
    for group in (inner, *inner.parents):
        limit, usage = _number(group / limit_name), _number(group / usage_name)
        if limit is not None and usage is not None:
            yield max(0, limit - usage + _reclaimable(group / "memory.stat", prefix))
        if group == root:
            return


def _reclaimable(stat: Path, prefix: str) -> int:
    """Bytes that the kernel takes back from the file cache when they are needed."""
    counts = dict(line.split(" ", 1) for line in _text(stat).splitlines() if " " in line)
    return sum(int(counts.get(f"{prefix}{kind}_file", "0")) for kind in ("active", "inactive"))


def _number(path: Path) -> int | None:
    """The number in a file; None if there is none (``max`` means no limit)."""
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
