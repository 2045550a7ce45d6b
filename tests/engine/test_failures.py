"""What fails in the middle of the work fails for those it concerns; the others go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import callbacks
from support.engines import PROMPT, drain, exact_config, greedy, opened, run, selection, texts, the_end

from edgelora.engine.mask import PythonMasker, Watched
from edgelora.gguf.reader import read_header
from edgelora.types import (
    BASE,
    AdapterFile,
    Failed,
)


@pytest.mark.parametrize("broken", ["no effect", "raises", "unseen"])
def test_a_failed_self_test_falls_back_to_exclusive_mode(
    f32_base: Path, two: list[AdapterFile], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with opened(exact_config(f32_base), two) as core:
        expected = run(core, *(greedy(f"r{i}", PROMPT, selection((a, 1.0))) for i, a in enumerate(two)))

    def apply(masker: PythonMasker, node: int, watched: Watched) -> None:
        if broken == "raises":
            raise KeyError(node)
        masker._applied += broken == "no effect"

    callbacks.use("python", monkeypatch)
    monkeypatch.setattr(PythonMasker, "_apply", apply)
    reason = {"no effect": "differ from llama.cpp's own", "raises": "mask failed", "unseen": "0 of"}[broken]
    with opened(exact_config(f32_base), two) as core:
        assert core.base.mode == "exclusive"
        assert reason in core.base.mode_reason
        assert all(core.load(adapter).swap_ms >= 0 for adapter in two)
        got = run(core, *(greedy(f"r{i}", PROMPT, selection((a, 1.0))) for i, a in enumerate(two)))
    assert got == expected


def test_values_that_are_no_numbers_do_not_outlive_their_request(
    f32_base: Path, two: list[AdapterFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neighbours go on, and nothing of it is left in the cache, not even in masked cells."""
    with opened(exact_config(f32_base), two) as core:
        neighbour = greedy("neighbour", PROMPT, BASE, 40)
        expected = run(core, neighbour)
        core.submit(neighbour)
        for _ in range(5):
            core.step()
        finite = core._context.has_finite_logits
        with monkeypatch.context() as patch:
            bad = len(core._scheduler.running[0].pending(1))  # the second chunk of the batch ends after the first
            patch.setattr(core._context, "has_finite_logits", lambda row: row < bad and finite(row))
            core.submit(greedy("bad", PROMPT, selection((two[0], 1.0)), 4))
            events = core.step()
        failed = [event for event in events if isinstance(event, Failed)]
        assert {event.request for event in failed} == {"neighbour", "bad"}
        assert all("no numbers" in event.error.message for event in failed)
        assert run(core, neighbour) == expected


def test_a_damaged_base_is_not_blamed_on_an_adapter(f32_base: Path, tmp_path: Path) -> None:
    damaged, header = tmp_path / "damaged.gguf", read_header(f32_base)
    data = bytearray(f32_base.read_bytes())
    start = header.tensors["output_norm.weight"].offset
    data[start : start + 4] = np.float32(np.nan).tobytes()
    damaged.write_bytes(data)
    with opened(exact_config(damaged)) as core:
        failed = the_end(core, greedy("x", PROMPT, BASE))
    assert isinstance(failed, Failed)
    assert "no numbers" in failed.error.message
    assert "damaged" in failed.error.hint


def test_a_purge_in_the_middle_of_an_answer_changes_nothing(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        request = greedy("x", PROMPT, selection((two[0], 1.0)), 20)
        expected = run(core, request)["x"]
        core.submit(request)
        events = [event for _ in range(6) for event in core.step()]
        core._purge()
        events += drain(core)
    assert texts(events)["x"] == expected


def test_a_failed_probe_leaves_nothing_behind(
    f32_base: Path, two: list[AdapterFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(exact_config(f32_base), two[:1]) as core:
        rows, free = core._pool.rows, core._pool._rows.n_free
        with monkeypatch.context() as patch:
            patch.setattr(core.residency._probe, "_decode", lambda masked: 1 / 0)
            for _ in range(4):
                with pytest.raises(ZeroDivisionError):
                    core.load(two[1])
        assert (core._pool.rows, core._pool._rows.n_free) == (rows, free)
        assert two[1].sha256 not in core._pool


def test_a_failed_decode_fails_its_requests_and_the_engine_goes_on(
    f32_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(exact_config(f32_base)) as core:
        expected = run(core, greedy("x", PROMPT, BASE))
        with monkeypatch.context() as patch:
            patch.setattr(core._context, "decode", lambda batch: -3)
            end = the_end(core, greedy("y", PROMPT, BASE))
        assert isinstance(end, Failed)
        assert "status -3" in end.error.message
        assert run(core, greedy("x", PROMPT, BASE)) == expected
