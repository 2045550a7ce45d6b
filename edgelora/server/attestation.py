"""What made an answer, for its headers and its body."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edgelora.adapters.selection import BASE_NAME, format_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.types import AttestedAdapter, BaseInfo, Finished


def selection_text(adapters: Sequence[AttestedAdapter]) -> str:
    """The selection as people write it, by the names that the engine attests."""
    written = (one.name if one.scale == 1 else f"{one.name}:{format_scale(one.scale)}" for one in adapters)
    return "+".join(written) or BASE_NAME


def attestation_headers(base: BaseInfo, adapters: Sequence[AttestedAdapter], fallback: str = "") -> dict[str, str]:
    """The headers ``x-edgelora-*``: base, selection, and each adapter's content hash and scale."""
    listed = (f"{quote(one.name)};sha256={one.sha256};scale={format_scale(one.scale)}" for one in adapters)
    headers = {
        "x-edgelora-base": base.fingerprint,
        "x-edgelora-selection": quote(selection_text(adapters), safe="+:@-._"),
        "x-edgelora-adapters": ", ".join(listed),
        "x-edgelora-mode": "baked" if base.baked and not adapters else "run-time",
    }
    return headers | ({"x-edgelora-fallback": quote(fallback, safe=" ,.;:'")} if fallback else {})


def attestation(base: BaseInfo, adapters: Sequence[AttestedAdapter], fallback: str = "") -> dict[str, Any]:
    """The same for the field ``edgelora`` of a body."""
    document = {
        "selection": selection_text(adapters),
        "adapters": [asdict(one) for one in adapters],
        "base": {"name": base.name, "fingerprint": base.fingerprint, "baked": [asdict(one) for one in base.baked]},
        "mode": "baked" if base.baked and not adapters else "run-time",
    }
    return document | ({"fallback": fallback} if fallback else {})


def timings(made: Finished) -> dict[str, Any]:
    """How long it took, and how much of the prompt had been computed before."""
    return {
        "ttft_ms": round(made.ttft_ms, 3),
        "tok_per_s": round(made.tok_per_s, 3),
        "reused_tokens": made.reused_tokens,
    }


def system_fingerprint(base: BaseInfo, adapters: Sequence[AttestedAdapter]) -> str:
    """OpenAI's ``system_fingerprint``: another one whenever other weights answer."""
    text = "\n".join([base.fingerprint, *(f"{one.sha256}:{one.scale}" for one in adapters)])
    return "fp_" + hashlib.sha256(text.encode()).hexdigest()[:16]
