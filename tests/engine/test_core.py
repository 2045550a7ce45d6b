"""The engine at work: requests, adapters and everything that can be wrong with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from support import callbacks
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, pool_bytes, run, selection, texts

from edgelora.engine import residency
from edgelora.engine.batching import DETACH_AFTER
from edgelora.engine.core import EngineCore
from edgelora.engine.mask import PythonMasker, Watched
from edgelora.errors import (
    AdapterError,
    AdapterMismatchError,
    ContextOverflowError,
    EngineError,
    GGUFError,
    MemoryLimitError,
    UnknownAdapterError,
    UsageError,
)
from edgelora.types import (
    BASE,
    AdapterEvicted,
    AdapterFile,
    AdapterLoaded,
    EngineConfig,
    Failed,
    Finished,
    Member,
    Prefilling,
    Request,
    SamplingParams,
    Selection,
    Started,
)

PROMPT = list(range(300, 330))


@pytest.fixture
def two(tmp_path: Path, f32_base: Path) -> list[AdapterFile]:
    return [write_adapter(tmp_path / f"a{i}.gguf", f32_base, seed=i) for i in range(2)]


def the_end(core: EngineCore, request: Request) -> Finished | Failed:
    core.submit(request)
    return next(event for event in drain(core) if isinstance(event, Finished | Failed))


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


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (Request("x", ()), EngineError, "at least one token"),
        (Request("x", (10**6,)), EngineError, "vocabulary"),
        (Request("x", (-1,)), EngineError, "vocabulary"),
        (Request("x", tuple([5] * 256)), ContextOverflowError, "256 tokens, and the context holds 256"),
        (Request("x", (5,), Selection.of([Member("f" * 64)])), UnknownAdapterError, "ffffffffffff"),
    ],
)
def test_what_is_wrong_with_a_request_ends_it_and_nothing_else(
    f32_base: Path, request_: Request, error: type[Exception], message: str
) -> None:
    with opened(exact_config(f32_base)) as core:
        core.submit(greedy("other", PROMPT, BASE, 8))
        core.step()
        core.submit(request_)
        ends = {event.request: event for event in drain(core) if isinstance(event, Failed | Finished)}
    failed = ends["x"]
    assert isinstance(failed, Failed)
    assert type(failed.error) is error
    assert message in failed.error.message
    assert isinstance(ends["other"], Finished)


def test_the_context_is_filled_to_its_end(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        end = the_end(core, Request("x", tuple([5, 6] * 120), BASE, SamplingParams(temperature=0, repeat_penalty=2.0)))
    assert isinstance(end, Finished)
    assert end.reason in ("length", "stop")
    assert end.prompt_tokens + end.completion_tokens <= 256


def test_two_requests_of_one_name_are_an_error(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        core.submit(greedy("x", PROMPT, BASE))
        core.submit(greedy("x", PROMPT, BASE))
        kinds = sorted(type(event).__name__ for event in drain(core) if isinstance(event, Finished | Failed))
    assert kinds == ["Failed", "Finished"]


def test_more_requests_than_sequences_wait_their_turn(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base, max_sequences=2), two) as core:
        for i in range(7):
            core.submit(greedy(f"r{i}", PROMPT[i:], selection((two[i % 2], 1.0)), 6))
        ends = [event.request for event in drain(core) if isinstance(event, Finished)]
    assert sorted(ends) == [f"r{i}" for i in range(7)]


# --- adapters


def test_an_adapter_in_use_is_not_evicted(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        core.submit(greedy("x", PROMPT, selection((two[0], 1.0)), 20))
        core.step()
        assert not core.evict(two[0].sha256)
        assert core.evict(two[1].sha256)
        drain(core)
        assert core.evict(two[0].sha256)
        assert AdapterEvicted(two[0].sha256) in core.step()


def test_an_evicted_adapter_comes_back_when_it_is_selected(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        before = run(core, greedy("x", PROMPT, selection((two[0], 1.0))))
        core.evict(two[0].sha256)
        core.evict(two[1].sha256)
        assert not core._pool.is_open
        assert run(core, greedy("x", PROMPT, selection((two[0], 1.0)))) == before


def test_the_pool_follows_need(f32_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(6)]
    with opened(exact_config(f32_base)) as core:
        sizes = []
        for adapter in adapters:
            core.load(adapter)
            sizes.append(core._pool.rows)
        assert sizes[:2] == [16, 32]
        assert sizes == sorted(sizes)
        assert 96 <= sizes[-1] <= 128
        for adapter in adapters[1:]:
            core.evict(adapter.sha256)
        assert core._pool.rows <= 32
        alone = run(core, greedy("x", PROMPT, selection((adapters[0], 1.0))))
    with opened(exact_config(f32_base), adapters[:1]) as core:
        assert run(core, greedy("x", PROMPT, selection((adapters[0], 1.0)))) == alone


def test_a_full_pool_evicts_what_nobody_uses(f32_base: Path, tmp_path: Path) -> None:
    adapters = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(4)]
    with opened(exact_config(f32_base, adapter_bytes=pool_bytes(f32_base, 32))) as core:
        for i, adapter in enumerate(adapters * 2):
            end = the_end(core, greedy(f"r{i}", PROMPT, _load_and_select(core, adapter), 4))
            assert isinstance(end, Finished)
            assert end.adapters[0].sha256 == adapter.sha256
        assert core._pool.rows == 32
        for i, adapter in enumerate(adapters[:2]):
            core.submit(greedy(f"busy{i}", PROMPT, selection((adapter, 1.0)), 20))
        core.step()
        with pytest.raises(MemoryLimitError, match="no memory left"):
            core.load(adapters[2])
        core.submit(greedy("patient", PROMPT, selection((adapters[2], 1.0)), 4))
        ends = [event for event in drain(core) if isinstance(event, Finished | Failed)]
        assert [end.request for end in ends][-1] == "patient"
        assert all(isinstance(end, Finished) for end in ends)
        three = selection(*((adapter, 1.0) for adapter in adapters[:3]))
        end = the_end(core, greedy("too many", PROMPT, three, 4))
        assert isinstance(end, Failed)
        assert isinstance(end.error, MemoryLimitError)


def _load_and_select(core: EngineCore, adapter: AdapterFile) -> Selection:
    core.load(adapter)
    return selection((adapter, 1.0))


def test_an_adapter_larger_than_the_budget_is_an_error(f32_base: Path, two: list[AdapterFile]) -> None:
    for budget in (pool_bytes(f32_base, 16) - 1, 1000):  # so that the self-test finds room, and not
        with opened(exact_config(f32_base, adapter_bytes=budget)) as core:
            assert (core.base.mode == "exclusive") == (budget == 1000)
            with pytest.raises(MemoryLimitError, match="larger than the memory for adapters"):
                core.load(two[1])


def test_an_adapter_that_changes_nothing_is_seen(f32_base: Path, tmp_path: Path) -> None:
    idle = write_adapter(tmp_path / "idle.gguf", f32_base, strength=0.0)
    with opened(exact_config(f32_base)) as core:
        assert core.load(idle).effect == 0.0


def test_norms_are_reported_as_ignored(f32_base: Path, tmp_path: Path) -> None:
    def with_norm(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("blk.0.attn_norm.weight", np.ones(256, np.float32))

    adapter = write_adapter(tmp_path / "a.gguf", f32_base, extra=with_norm)
    with opened(exact_config(f32_base)) as core:
        assert core.load(adapter).ignored == ("blk.0.attn_norm.weight",)


def test_an_adapter_without_factors_is_refused(f32_base: Path, tmp_path: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        with pytest.raises(AdapterError, match="no pair"):
            core.load(write_adapter(tmp_path / "empty.gguf", f32_base, targets=()))
        assert isinstance(the_end(core, greedy("x", PROMPT, BASE)), Finished)


def test_broken_adapters_are_refused_before_anything_native_sees_them(
    f32_base: Path, tmp_path: Path, two: list[AdapterFile]
) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    changed = write_adapter(tmp_path / "changed.gguf", f32_base, seed=5)
    write_adapter(tmp_path / "changed.gguf", f32_base, seed=9)
    nan = write_adapter(tmp_path / "nan.gguf", f32_base, strength=np.nan)
    cases = [
        (AdapterFile("gone", tmp_path / "gone.gguf", "0" * 64), GGUFError),
        (AdapterFile("text", tmp_path / "text.gguf", "1" * 64), GGUFError),
        (changed, AdapterError),
        (nan, AdapterError),
        (AdapterFile("base", f32_base, _sha(f32_base)), AdapterError),
    ]
    with opened(exact_config(f32_base), two) as core:
        for file, error in cases:
            with pytest.raises(error):
                core.load(file)
        assert isinstance(the_end(core, greedy("x", PROMPT, selection((two[0], 1.0)))), Finished)


def _sha(path: Path) -> str:
    from edgelora.gguf.hashes import file_sha256

    return file_sha256(path)


def test_an_adapter_for_another_base_is_refused(f32_base: Path, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "other.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_tensor("blk.0.attn_q.weight.lora_a", np.ones((4, 512), np.float16))
    writer.add_tensor("blk.0.attn_q.weight.lora_b", np.ones((512, 4), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = AdapterFile("other", tmp_path / "other.gguf", _sha(tmp_path / "other.gguf"))
    with opened(exact_config(f32_base)) as core, pytest.raises(AdapterMismatchError, match="attn_q"):
        core.load(file)


def test_counts_return_to_zero_whatever_happens(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        both = selection((two[0], 1.0), (two[1], 0.5))
        for i in range(4):
            core.submit(greedy(f"r{i}", PROMPT, both, 6))
        core.step()
        core.cancel("r0")
        core.submit(Request("bad", tuple(PROMPT), Selection.of([Member(two[0].sha256), Member("e" * 64)])))
        two[1].path.unlink()
        core.evict(two[1].sha256)
        drain(core)
        assert not any(core.residency._users.values())


def test_acquire_releases_what_it_took_when_a_member_fails(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        core.evict(two[1].sha256)
        two[1].path.unlink()
        end = the_end(core, greedy("x", PROMPT, selection((two[0], 1.0), (two[1], 1.0))))
        assert isinstance(end, Failed)
        assert "a1.gguf" in end.error.message
        assert not any(core.residency._users.values())
        assert core.evict(two[0].sha256)


def test_the_pool_is_detached_while_only_the_base_is_used(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        run(core, greedy("x", PROMPT, selection((two[0], 1.0)), 2))
        assert core._context._adapters
        for i in range(DETACH_AFTER + 1):
            run(core, greedy(f"y{i}", PROMPT, BASE, 1))
        assert not core._context._adapters
        text = run(core, greedy("z", PROMPT, selection((two[0], 1.0)), 8))["z"]
        assert core._context._adapters
    with opened(exact_config(f32_base), two) as core:
        assert run(core, greedy("z", PROMPT, selection((two[0], 1.0)), 8))["z"] == text


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


def test_a_purge_in_the_middle_of_an_answer_changes_nothing(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        request = greedy("x", PROMPT, selection((two[0], 1.0)), 20)
        expected = run(core, request)["x"]
        core.submit(request)
        events = [event for _ in range(6) for event in core.step()]
        core._purge()
        events += drain(core)
    assert texts(events)["x"] == expected


def test_an_adapter_that_overflows_is_refused(f32_base: Path, tmp_path: Path) -> None:
    wild = write_adapter(tmp_path / "wild.gguf", f32_base, strength=1e38, dtype="float32", alpha=1e30)
    with opened(exact_config(f32_base)) as core:
        expected = run(core, greedy("x", PROMPT, BASE))
        with pytest.raises(EngineError, match="no numbers"):
            core.load(wild)
        assert not core._pool.is_open
        assert run(core, greedy("x", PROMPT, BASE)) == expected


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


@pytest.mark.parametrize(("prepared_bytes", "most_reads"), [(None, 0), (0, 2)])
def test_waiting_for_room_does_not_read_the_file_again_and_again(
    f32_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepared_bytes: int | None, most_reads: int
) -> None:
    adapters = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(2)]
    budgets = {"adapter_bytes": pool_bytes(f32_base, 16), "prepared_bytes": prepared_bytes}
    with opened(exact_config(f32_base, **budgets), adapters) as core:
        reads = []
        real = residency.prepare
        monkeypatch.setattr(residency, "prepare", lambda *args: reads.append(args) or real(*args))
        core.submit(greedy("first", PROMPT, selection((adapters[1], 1.0)), 20))
        core.step()
        core.submit(greedy("second", PROMPT, selection((adapters[0], 1.0)), 2))
        ends = [event.request for event in drain(core) if isinstance(event, Finished)]
    assert ends == ["first", "second"]
    assert len(reads) <= most_reads


def test_a_moved_adapter_is_known_by_its_new_name(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), two) as core:
        moved = replace(two[0], name="moved", path=two[0].path.rename(two[0].path.with_name("moved.gguf")))
        assert core.load(moved).name == "moved"
        core.evict(moved.sha256)
        end = the_end(core, greedy("x", PROMPT, selection((moved, 1.0)), 2))
    assert isinstance(end, Finished)
    assert end.adapters[0].name == "moved"


@pytest.mark.parametrize(
    "change", [{"batch": 4}, {"max_sequences": 0}, {"ctx": -1}, {"threads": 0}, {"gpu_layers": -1}]
)
def test_settings_that_cannot_work_are_refused(demo_base: Path, change: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        EngineConfig(demo_base, **change)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("content", [b"", b"GGUF", b"hello world" * 100])
def test_a_base_that_is_no_base(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "base.gguf"
    path.write_bytes(content)
    with pytest.raises(GGUFError, match=r"base\.gguf"):
        EngineCore(EngineConfig(path))


def test_a_base_without_a_tokenizer_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mute.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_head_count(1)
    writer.add_tokenizer_model("no_vocab")
    writer.add_tensor("token_embd.weight", np.zeros((8, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(EngineError, match="no tokenizer"):
        EngineCore(EngineConfig(path))


def test_gpu_layers_without_a_gpu_build(demo_base: Path) -> None:
    with pytest.raises(EngineError, match="without a GPU backend"):
        EngineCore(EngineConfig(demo_base, gpu_layers=1))
