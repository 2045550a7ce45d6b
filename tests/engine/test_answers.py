"""What a request gives: text, events, the reason of its end."""

from __future__ import annotations

from pathlib import Path

from support.engines import PROMPT, drain, exact_config, greedy, opened, run, selection, the_end

from edgelora.engine.core import EngineCore
from edgelora.types import (
    BASE,
    AdapterFile,
    AdapterLoaded,
    Finished,
    Prefilling,
    Request,
    SamplingParams,
    Started,
)


def test_a_request_tells_what_made_its_answer(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        core.submit(greedy("x", PROMPT, selection((two[0], 0.5)), 5))
        events = drain(core)
    loaded = [event.status for event in events if isinstance(event, AdapterLoaded)]
    assert [status.name for status in loaded] == ["a0", "a1"]
    assert all(status.effect > 0.01 and not status.ignored for status in loaded)
    started, *_, finished = [event for event in events if not isinstance(event, AdapterLoaded)]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.adapters == finished.adapters
    assert [(a.name, a.sha256, a.scale) for a in finished.adapters] == [("a0", two[0].sha256, 0.5)]
    assert (finished.prompt_tokens, finished.reused_tokens) == (len(PROMPT), 0)
    assert finished.completion_tokens == 5
    assert finished.ttft_ms > 0


def test_a_prefill_fills_the_cache_for_the_answer(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        for expected_reuse in (0, len(PROMPT)):
            end = the_end(core, greedy("warm", PROMPT, BASE, 0))
            assert isinstance(end, Finished)
            assert (end.completion_tokens, end.reused_tokens) == (0, expected_reuse)
        end = the_end(core, greedy("answer", PROMPT, BASE, 3))
        assert isinstance(end, Finished)
        assert end.reused_tokens == len(PROMPT) - 1


def test_a_long_prompt_reports_its_progress(f32_base: Path) -> None:
    prompt = [300 + i % 700 for i in range(400)]
    with opened(exact_config(f32_base, ctx=512)) as core:
        core.submit(greedy("x", prompt, BASE, 1))
        progress = [(event.done, event.total) for event in drain(core) if isinstance(event, Prefilling)]
    assert [total for _, total in progress] == [400] * len(progress)
    steps = [done for done, _ in progress]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400
    assert len(steps) >= 3  # no batch holds more than 144


def test_cancel_ends_within_one_step(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        core.submit(greedy("x", PROMPT, BASE, 100))
        for _ in range(5):
            core.step()
        core.cancel("x")
        core.cancel("unknown")
        (end,) = [event for event in core.step() if isinstance(event, Finished)]
        assert end.reason == "cancelled"
        assert 0 < end.completion_tokens <= 5
        assert not core.busy


def test_sampling_is_repeatable_with_a_seed(f32_base: Path) -> None:
    def sampled(core: EngineCore, seed: int | None, **params: object) -> str:
        sampling = SamplingParams(max_tokens=12, temperature=1.5, seed=seed, top_k=0, **params)  # type: ignore[arg-type]
        return run(core, Request("x", tuple(PROMPT), BASE, sampling))["x"]

    with opened(exact_config(f32_base)) as core:
        assert sampled(core, 1) == sampled(core, 1)
        assert len({sampled(core, seed) for seed in (1, 2, 3, None)}) > 1
        greedy_text = run(core, greedy("g", PROMPT, BASE, 12))["g"]
        assert sampled(core, 5, min_p=1.0) == greedy_text
        assert sampled(core, 5, top_p=1e-6) == greedy_text


def test_a_repetition_penalty_counts_the_prompt(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        plain = the_tokens(core, SamplingParams(max_tokens=20, temperature=0))
        penalised = the_tokens(core, SamplingParams(max_tokens=20, temperature=0, repeat_penalty=100.0))
    assert not set(penalised) & set(PROMPT)
    assert len(set(penalised)) == len(penalised)
    assert plain != penalised


def the_tokens(core: EngineCore, sampling: SamplingParams) -> tuple[int, ...]:
    core.submit(Request("t", tuple(PROMPT), BASE, sampling))
    core.step()
    (sequence,) = core._scheduler.running
    drain(core)
    return tuple(sequence.produced)


def test_a_stop_string_ends_the_answer(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        whole = run(core, greedy("x", PROMPT, BASE, 30))["x"]
        stop = whole[len(whole) // 2 :][:4]
        stopped = Request("y", tuple(PROMPT), BASE, SamplingParams(max_tokens=30, temperature=0, stop=(stop,)))
        core.submit(stopped)
        events = drain(core)
    assert events[-1].reason == "stop"  # type: ignore[union-attr]
    text = "".join(getattr(event, "text", "") for event in events)
    assert text == whole[: whole.index(stop)]


def test_a_stop_token_ends_the_answer_and_is_not_part_of_it(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        produced = the_tokens(core, SamplingParams(max_tokens=30, temperature=0))
        stop = next(token for index, token in enumerate(produced) if index > 5 and token not in produced[:index])
        sampling = SamplingParams(max_tokens=30, temperature=0, stop_tokens=(stop,))
        core.submit(Request("y", tuple(PROMPT), BASE, sampling))
        events = drain(core)
        before = b"".join(map(core._model.piece, produced[: produced.index(stop)]))
    assert events[-1].reason == "stop"  # type: ignore[union-attr]
    assert "".join(getattr(event, "text", "") for event in events).encode() == before


def test_the_context_is_filled_to_its_end(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        end = the_end(core, Request("x", tuple([5, 6] * 120), BASE, SamplingParams(temperature=0, repeat_penalty=2.0)))
    assert isinstance(end, Finished)
    assert end.reason in ("length", "stop")
    assert end.prompt_tokens + end.completion_tokens <= 256


def test_more_requests_than_sequences_wait_their_turn(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base, max_sequences=2), two) as core:
        for i in range(7):
            core.submit(greedy(f"r{i}", PROMPT[i:], selection((two[i % 2], 1.0)), 6))
        ends = [event.request for event in drain(core) if isinstance(event, Finished)]
    assert sorted(ends) == [f"r{i}" for i in range(7)]
