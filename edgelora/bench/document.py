"""A result as the JSON document of ``bench swap --json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgelora.bench.samples import median

if TYPE_CHECKING:
    from edgelora.bench.steps import SwapTimes
    from edgelora.bench.swap import SubjectResult, SwapResult


def swap_document(result: SwapResult) -> dict[str, Any]:
    """What scripts read.

    Times are in milliseconds, or in microseconds where a name says ``us``; names that begin with ``native_`` are
    llama.cpp's own set call in a plain context. ``adapter_overhead_ratio`` is of the first selection.
    """
    first = result.subjects[0]
    document: dict[str, Any] = rounded(
        {
            "bench": "swap",
            "first_token_after_swap_ms": {
                str(after.conversation): {"new": asdict(after.new), "kept": asdict(after.kept)}
                for after in result.after_swap
            },
            "going_on_with_a_conversation": asdict(result.going_on),
            **_swap(result.mask, ""),
            **_swap(result.native, "native_"),
            "cold_load_ms": median([subject.loaded.load_ms for subject in result.subjects]),
            "model_reload_ms": result.model_reload_ms,
            "base_step_ms": first.cost.base_ms,
            "adapter_overhead_ratio": first.cost.pooled_ms / first.cost.base_ms,
            "native_adapter_overhead_ratio": first.cost.native_ms / first.cost.base_ms,
            "between": list(result.between),
            "adapters": [_subject(subject) for subject in result.subjects],
            "base": {
                "name": result.base.name,
                "path": str(result.base.path),
                "fingerprint": result.base.fingerprint,
                "quantization": result.base.quantization,
                "n_params": result.base.n_params,
            },
            "mode": result.base.mode,
            "mode_reason": result.base.mode_reason,
            "callback": result.base.callback,
            "machine": result.machine,
        }
    )
    return document


def _swap(times: SwapTimes, prefix: str) -> dict[str, float]:
    named = asdict(times) | {"step_ratio_after_swap": times.ratio}
    return {prefix + name: value for name, value in named.items()}


def _subject(result: SubjectResult) -> dict[str, Any]:
    cost, answers = result.cost, result.answers
    return {
        "selection": result.subject.text,
        "members": [
            {"name": file.name, "sha256": file.sha256, "scale": scale}
            for file in result.subject.files
            for scale in (m.scale for m in result.subject.selection.members if m.adapter == file.sha256)
        ],
        "rank": result.loaded.rank,
        "load_ms": result.loaded.load_ms,
        "memory_delta_bytes": result.loaded.memory_bytes,
        "effect": result.loaded.effect,
        "step_ms": cost.pooled_ms,
        "native_step_ms": cost.native_ms,
        "base_step_ms": cost.base_ms,
        "overhead_ratio": cost.pooled_ms / cost.base_ms,
        "native_overhead_ratio": cost.native_ms / cost.base_ms,
        "prompt": result.subject.prompt,
        "answer": asdict(answers.adapted),
        "base_answer": asdict(answers.base),
        "outputs_differ": answers.differ,
    }


def rounded(value: Any) -> Any:
    """Six significant digits: more would only pretend."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value
