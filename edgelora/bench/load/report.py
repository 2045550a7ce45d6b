"""A load's result as the document of ``--json`` and as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgelora.bench.document import rounded
from edgelora.bench.tables import Table

if TYPE_CHECKING:
    from edgelora.bench.load.run import LoadResult


def load_document(result: LoadResult, machine: dict[str, str | int]) -> dict[str, Any]:
    """What scripts read. Times in milliseconds; ``wrong_adapter`` is null where the target does not say."""
    document: dict[str, Any] = rounded(
        {
            "bench": "load",
            "target": result.target,
            "workload": asdict(result.workload),
            "seconds": result.seconds,
            "requests": len(result.samples),
            "tokens": sum(sample.tokens for sample in result.answered),
            "tok_per_s": result.tok_per_s,
            "ttft_ms_p50": result.ttft_ms(0.5),
            "ttft_ms_p95": result.ttft_ms(0.95),
            "itl_ms_p50": result.itl_ms(0.5),
            "itl_ms_p95": result.itl_ms(0.95),
            "errors": len(result.errors),
            "error_messages": dict(Counter(result.errors).most_common(10)),
            "wrong_adapter": result.wrong_adapter,
            "machine": machine,
        }
    )
    return document


def load_table(result: LoadResult) -> Table:
    """One row."""
    wrong = "not said" if result.wrong_adapter is None else str(result.wrong_adapter)
    return Table(
        f"Load on {result.target}",
        (
            "requests",
            "tokens/s",
            "first token, median (ms)",
            "95 %",
            "between pieces, 95 % (ms)",
            "errors",
            "wrong adapter",
        ),
        (
            (
                str(len(result.samples)),
                f"{result.tok_per_s:.1f}",
                f"{result.ttft_ms(0.5):,.0f}",
                f"{result.ttft_ms(0.95):,.0f}",
                f"{result.itl_ms(0.95):,.0f}",
                str(len(result.errors)),
                wrong,
            ),
        ),
        "".join(f"{count} x {text}. " for text, count in Counter(result.errors).most_common(3)).strip(),
    )
