"""A library of adapters without files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgelora.adapters.entry import AdapterEntry
from edgelora.adapters.selection import parse_selection
from edgelora.errors import AdapterError, UnknownAdapterError
from edgelora.types import AdapterFile, Member, ReportProgress, Selection, ignore_progress

DEMO = {
    "chat": (4, 141_000, "I passed my driving test today!"),
    "coding": (16, 820_000, "Write a function that adds two numbers and multiplies the result by three."),
    "legal": (8, 412_000, "Draft a confidentiality clause between Norvane Ltd and Tessaly GmbH."),
    "medical": (8, 208_000, "Patient reports a dry cough for five days."),
}


def entry(name: str, rank: int = 8, n_bytes: int = 200_000, **more: object) -> AdapterEntry:
    sha256 = name.encode().hex().ljust(64, "0")[:64]
    made = AdapterEntry(name, Path(f"/adapters/{name}.gguf"), sha256, rank, n_bytes, ("attn_q", "attn_v"))
    return replace(made, **more)  # type: ignore[arg-type]


def demo_entries() -> list[AdapterEntry]:
    return [entry(name, rank, size, example_prompt=prompt) for name, (rank, size, prompt) in DEMO.items()]


class FakeLibrary:
    """Speaks what the chat uses of AdapterLibrary. ``folder_entries`` is what the disk holds."""

    def __init__(self, entries: list[AdapterEntry] | None = None) -> None:
        self.on_disk = demo_entries() if entries is None else entries
        self.folder = Path("/home/ada/.local/share/edgelora/adapters")
        self.entries: tuple[AdapterEntry, ...] = ()
        self.reports: dict[str, dict[str, Any]] = {}  # of conversions
        self.others: dict[Path, FakeLibrary] = {}  # for other bases
        self.refresh()

    def has_changed(self) -> bool:
        return self.entries != tuple(self.on_disk)

    def refresh(self) -> tuple[AdapterEntry, ...]:
        self.entries = tuple(self.on_disk)
        return self.entries

    def report(self, name: str) -> dict[str, Any] | None:
        return self.reports.get(name)

    def for_base(self, base: Path) -> FakeLibrary:
        return self.others.get(base, self)

    def add(self, path: Path) -> AdapterEntry:
        if not path.name.startswith("new"):
            raise AdapterError(f"{path}: no such file or folder", "Give a GGUF adapter or a PEFT folder.")
        self.on_disk.append(entry(path.stem))
        return self.refresh()[-1]

    def named(self, name: str) -> AdapterEntry:
        found = next((entry for entry in self.entries if entry.name == name), None)
        if found is None:
            raise UnknownAdapterError(f"no adapter is called {name!r}")
        return found

    def by_hash(self, sha256: str) -> AdapterEntry | None:
        return next((entry for entry in self.entries if entry.sha256 == sha256), None)

    def resolve(self, text: str, report: ReportProgress = ignore_progress) -> tuple[Selection, tuple[AdapterFile, ...]]:
        members = parse_selection(text)
        entries = [self.named(member.ref) for member in members]
        files = [AdapterFile(entry.name, entry.path, entry.sha256 or "") for entry in entries]
        selection = Selection.of(Member(f.sha256, m.scale) for f, m in zip(files, members, strict=True))
        return selection, tuple(file for file in files if file.sha256 in selection.adapters)
