"""What a merged base says of the adapters in its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.gguf.header import MetadataArray
from edgelora.types import SCALE_DIGITS, AttestedAdapter

if TYPE_CHECKING:
    from typing import Any

    from edgelora.gguf.header import Header

_PREFIX = "edgelora.merge."


def baked_into(header: Header) -> tuple[AttestedAdapter, ...]:
    """The adapters that ``edgelora merge`` baked into this file; none where it does not say so in full."""
    names, hashes, scales = (_items(header, key) for key in ("adapters", "sha256", "scales"))
    if not len(names) == len(hashes) == len(scales) or not all(isinstance(scale, float) for scale in scales):
        return ()
    members = zip(names, hashes, scales, strict=True)
    return tuple(AttestedAdapter(str(name), str(sha256), _user_scale(scale)) for name, sha256, scale in members)


def _items(header: Header, key: str) -> list[Any]:
    value = header.metadata.get(_PREFIX + key)
    return list(value) if isinstance(value, MetadataArray) else []


def _user_scale(stored: float) -> float:
    """The scale as it was given, which float32 does not hold exactly."""
    return round(stored, SCALE_DIGITS)
