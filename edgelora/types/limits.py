"""Fields that must lie within limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def require(value: object, limits: Iterable[tuple[str, bool, str]]) -> None:
    """Raise UsageError for the first field that does not hold: (name, holds, what is allowed)."""
    for name, holds, allowed in limits:
        if not holds:
            raise UsageError(f"{name} is {getattr(value, name)!r}; it must be {allowed}")
