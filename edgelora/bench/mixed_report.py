"""The result of ``bench mixed`` as a document and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelora.bench.document import rounded
from edgelora.bench.tables import Table, machine_remark

if TYPE_CHECKING:
    from edgelora.bench.mixed import MixedResult


def mixed_document(result: MixedResult) -> dict[str, Any]:
    """What scripts read. A step is choosing adapters and computing; tokens per second count sampling too."""
    document: dict[str, Any] = rounded(
        {
            "bench": "mixed",
            "sequences": result.sequences,
            "adapters": [subject.text for subject in result.subjects],
            **{f"step_ms_{kind}": times.step for kind, times in result.times.items()},
            **{f"tok_per_s_{kind}": result.sequences / times.whole * 1e3 for kind, times in result.times.items()},
            **{f"native_step_ms_{kind}": time for kind, time in result.native.items()},
            "ratio_mixed_to_one": result.times["mixed"].step / result.times["one"].step,
            "ratio_one_to_native": result.times["one"].step / result.native["one"],
            "ratio_base_to_native": result.times["base"].step / result.native["base"],
            "reattach_ms": result.reattach_ms,
            "base": {
                "name": result.base.name,
                "fingerprint": result.base.fingerprint,
                "quantization": result.base.quantization,
            },
            "mode": result.base.mode,
            "mode_reason": result.base.mode_reason,
            "callback": result.base.callback,
            "machine": result.machine,
        }
    )
    return document


def mixed_remarks(result: MixedResult) -> tuple[str, ...]:
    """What was measured, and on what."""
    base = result.base
    why = f" ({base.mode_reason})" if base.mode_reason else ""
    return (
        f"Base: {base.name}, {base.quantization}, mode {base.mode}{why}, {base.callback} callback. "
        f"{result.sequences} sequences, {len(result.subjects)} adapters.",
        machine_remark(result.machine),
    )


def mixed_table(result: MixedResult) -> Table:
    """One row for each kind."""
    labels = {
        "base": "base alone",
        "one": f"all on {result.subjects[0].label}",
        "mixed": f"{min(result.sequences, len(result.subjects))} adapters mixed",
    }
    rows = []
    for kind, label in labels.items():
        times, native = result.times[kind], result.native.get(kind)
        own = ("", "") if native is None else (f"{native:.2f}", f"{times.step / native:.3f}")
        rows.append((label, f"{times.step:.2f}", *own, f"{result.sequences / times.whole * 1e3:.1f}"))
    ratio = result.times["mixed"].step / result.times["one"].step
    return Table(
        f"A step of {result.sequences} sequences",
        ("", "step (ms)", "llama.cpp's own way (ms)", "ratio", "tokens/s with sampling"),
        tuple(rows),
        f"Mixed takes {ratio:.3f} of all on one. The first step with an adapter after steps without any takes "
        f"{result.reattach_ms:.1f} ms more.",
    )
