"""Libraries with small files in them, and what is in a library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelora.adapters.store.manifest import Card, Origin

if TYPE_CHECKING:
    from edgelora.adapters.store.store import AdapterStore, Added


def put(
    store: AdapterStore, name: str, content: str | bytes, card: Card | None = None, report: dict[str, Any] | None = None
) -> Added:
    """Add a file that holds ``content``."""
    with store.incoming() as folder:
        file = folder / "adapter.gguf"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return store.add(name, file, Origin("here", 1.0), card or Card(), report)


def state(store: AdapterStore) -> dict[str, bytes]:
    """The bytes of every version. Raises what reading the library and its files raises."""
    return {
        f"{name}@{number}": store.path(version.sha256).read_bytes()
        for name, adapter in store.read().adapters.items()
        for number, version in adapter.versions.items()
    }
