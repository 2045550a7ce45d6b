"""A result as tables, for the terminal and for Markdown. What a person waits for stands first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora.bench.first_token import FirstToken
    from edgelora.bench.going_on import GoingOn
    from edgelora.bench.steps import SwapTimes
    from edgelora.bench.swap import SubjectResult, SwapResult


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; ``note`` says how to read them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def swap_tables(result: SwapResult) -> tuple[Table, ...]:
    """The whole result."""
    return (
        _waiting(result),
        _going_on(result.going_on),
        _swapping(result),
        _loads(result),
        _steps(result),
        _answers(result),
        *map(_texts, result.subjects),
    )


def markdown(tables: Sequence[Table], heading: str, remarks: Sequence[str]) -> str:
    """The tables as one Markdown page."""
    parts = [f"# {heading}", *remarks]
    for table in tables:
        lines = [_row(table.columns), _row(["---"] * len(table.columns)), *map(_row, table.rows)]
        parts += [f"## {table.title}", "\n".join(lines), *([table.note] if table.note else [])]
    return "\n\n".join(parts) + "\n"


def remarks(result: SwapResult) -> tuple[str, ...]:
    """What was measured, and on what."""
    base = result.base
    return (
        f"Base: {base.name}, {base.n_params / 1e6:,.1f} million parameters, {base.quantization}, mode {base.mode}"
        f"{f' ({base.mode_reason})' if base.mode_reason else ''}.",
        machine_remark(result.machine),
    )


def machine_remark(machine: Mapping[str, str | int]) -> str:
    """On what it was measured."""
    return (
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['memory_gib']} GiB, {machine['system']}, llama-cpp-python {machine['llama_cpp_python']}."
    )


def _waiting(result: SwapResult) -> Table:
    rows = []
    for after in result.after_swap:
        rows.append((f"{after.conversation} tokens", "new selection", *_split(after.new)))
        rows.append(("", "back to a kept one", *_split(after.kept)))
    return Table(
        f"First token after a swap, {' and '.join(result.between)} (ms)",
        ("conversation", "swap", "first token", "mask", "KV", "decode", "rest"),
        tuple(rows),
        "A new selection has to read the conversation; one that has read it before only reads the new message.",
    )


def _going_on(times: GoingOn) -> Table:
    waits = {
        "a selection that reads it again": times.read_again_ms,
        "one that has read it ahead": times.read_ahead_ms,
        "back to one that the cache holds": times.kept_ms,
        "back to one that was parked": times.parked_ms,
    }
    return Table(
        f"First token in a conversation of {times.conversation} tokens, nothing new in it (ms)",
        ("", "first token", "ordinary steps"),
        tuple((what, f"{wait:.1f}", f"{wait / times.step_ms:.1f}") for what, wait in waits.items()),
        f"An ordinary step takes {times.step_ms:.1f} ms. Parking took {times.park_ms:.1f} ms "
        f"({times.parked_bytes / 2**20:.1f} MiB), finding it again {times.restore_ms:.1f} ms.",
    )


def _split(wait: FirstToken) -> tuple[str, ...]:
    parts = (wait.mask_ms, wait.kv_ms, wait.decode_ms, wait.rest_ms)
    return (f"{wait.total_ms:.1f}", *(f"{part:.2f}" for part in parts))


def _swapping(result: SwapResult) -> Table:
    return Table(
        "The swap itself, one sequence",
        ("", "swap, median (µs)", "swap, 95 % (µs)", "step (ms)", "step after a swap (ms)", "ratio"),
        (("mask", *_times(result.mask)), ("llama.cpp's set call", *_times(result.native))),
        f"Loading the base again instead, with its adapters, takes {result.model_reload_ms:,.0f} ms.",
    )


def _times(times: SwapTimes) -> tuple[str, ...]:
    swap = (f"{times.swap_us_p50:.1f}", f"{times.swap_us_p95:.1f}")
    return (*swap, f"{times.step_ms_same:.2f}", f"{times.step_ms_after_swap:.2f}", f"{times.ratio:.3f}")


def _loads(result: SwapResult) -> Table:
    return Table(
        "Loading each selection",
        ("", "rank", "load (ms)", "memory (MiB)", "effect on logits"),
        tuple(map(_load, result.subjects)),
        "The first load in this process, with all checks and the proof of activation; memory is what the process grew.",
    )


def _load(result: SubjectResult) -> tuple[str, ...]:
    loaded = result.loaded
    numbers = (f"{loaded.load_ms:.1f}", f"{loaded.memory_bytes / 2**20:.1f}", f"{100 * loaded.effect:.1f} %")
    return (result.subject.label, str(loaded.rank), *numbers)


def _steps(result: SwapResult) -> Table:
    return Table(
        "Each selection alone against the bare base, one sequence",
        ("", "step (ms)", "bare base (ms)", "overhead", "overhead of llama.cpp's own way"),
        tuple(map(_step, result.subjects)),
        "Bare is a plain context, which knows of no adapters.",
    )


def _step(result: SubjectResult) -> tuple[str, ...]:
    cost = result.cost
    times, ratios = (cost.pooled_ms, cost.base_ms), (cost.pooled_ms / cost.base_ms, cost.native_ms / cost.base_ms)
    return (result.subject.label, *(f"{time:.2f}" for time in times), *(f"{ratio:.3f}" for ratio in ratios))


def _answers(result: SwapResult) -> Table:
    return Table(
        "The same prompt under the base and under each selection",
        ("", "first token (ms)", "base (ms)", "tokens/s", "base", "differs"),
        tuple(map(_answer, result.subjects)),
    )


def _answer(result: SubjectResult) -> tuple[str, ...]:
    base, adapted = result.answers.base, result.answers.adapted
    times, rates = (adapted.ttft_ms, base.ttft_ms), (adapted.tok_per_s, base.tok_per_s)
    numbers = (f"{number:.1f}" for number in (*times, *rates))
    return (result.subject.label, *numbers, "yes" if result.answers.differ else "no")


def _texts(result: SubjectResult) -> Table:
    return Table(
        f"{result.subject.label}: {result.subject.prompt}",
        ("base", result.subject.label),
        ((result.answers.base.text.strip(), result.answers.adapted.text.strip()),),
    )


def _row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |"
