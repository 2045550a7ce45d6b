"""Amounts of memory as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_UNITS |= {f"{unit}I": 1024**power for power, unit in enumerate("KMGT", 1)}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(|[KMGT]I?)B", re.IGNORECASE)


def n_bytes(size: str) -> int:
    """Bytes of ``256MB``, ``1.5GiB`` or ``0``: powers of 1000, with an ``i`` of 1024.

    Raises ValueError with what it must be.
    """
    if size.strip() == "0":
        return 0
    match = _SIZE.fullmatch(size.strip())
    if not match:
        raise ValueError("a size with its unit, such as 256MB or 1GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])
