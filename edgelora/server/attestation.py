"""What made an answer, for its headers and its body."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from edgelora.adapters.selection import BASE_NAME, format_scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.server.weights import Weights
    from edgelora.types import AttestedAdapter, Finished


def selection_text(adapters: Sequence[AttestedAdapter]) -> str:
    """The selection as people write it, by the names that the engine attests."""
    written = (one.name if one.scale == 1 else f"{one.name}:{format_scale(one.scale)}" for one in adapters)
    return "+".join(written) or BASE_NAME


def attestation_headers(weights: Weights, adapters: Sequence[AttestedAdapter]) -> dict[str, str]:
    """The headers ``x-edgelora-*``: base, selection, each adapter's content hash and scale, and whether they were
    baked; then with the fingerprint of what they were baked into."""
    base, baked = weights.base, weights.baked
    listed = (f"{quote(one.name)};sha256={one.sha256};scale={format_scale(one.scale)}" for one in adapters)
    headers = {
        "x-edgelora-base": base.fingerprint,
        "x-edgelora-selection": quote(selection_text(adapters), safe="+:@-._"),
        "x-edgelora-adapters": ", ".join(listed),
        "x-edgelora-mode": mode(weights, adapters),
    }
    headers |= {"x-edgelora-weights": baked.fingerprint} if baked else {}
    return headers | ({"x-edgelora-fallback": quote(weights.fallback, safe=" ,.;:'")} if weights.fallback else {})


def attestation(weights: Weights, adapters: Sequence[AttestedAdapter]) -> dict[str, Any]:
    """The same for the field ``edgelora`` of a body."""
    base, baked = weights.base, weights.baked
    document = {
        "selection": selection_text(adapters),
        "adapters": [asdict(one) for one in adapters],
        "base": {"name": base.name, "fingerprint": base.fingerprint, "baked": [asdict(one) for one in base.baked]},
        "mode": mode(weights, adapters),
    }
    document |= {"weights": baked.fingerprint} if baked else {}
    return document | ({"fallback": weights.fallback} if weights.fallback else {})


def mode(weights: Weights, adapters: Sequence[AttestedAdapter]) -> Literal["baked", "run-time"]:
    """Baked where every adapter is in the weights: of a base made for the selection, or of the server's own."""
    return "baked" if weights.baked or (weights.base.baked and not adapters) else "run-time"


def timings(made: Finished) -> dict[str, Any]:
    """How long it took, and how much of the prompt had been computed before."""
    return {
        "ttft_ms": round(made.ttft_ms, 3),
        "tok_per_s": round(made.tok_per_s, 3),
        "reused_tokens": made.reused_tokens,
    }


def system_fingerprint(weights: Weights, adapters: Sequence[AttestedAdapter]) -> str:
    """OpenAI's ``system_fingerprint``: another one whenever other weights answer."""
    opened = weights.baked or weights.base
    text = "\n".join([opened.fingerprint, *(f"{one.sha256}:{one.scale}" for one in adapters)])
    return "fp_" + hashlib.sha256(text.encode()).hexdigest()[:16]
