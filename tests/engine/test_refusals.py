"""Adapters and requests that cannot be used are refused with a reason, and nothing else suffers."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from support.adapters import write_adapter
from support.engines import PROMPT, drain, exact_config, greedy, opened, pool_bytes, run, selection, the_end

from edgelora.errors import (
    AdapterError,
    AdapterMismatchError,
    ContextOverflowError,
    EngineError,
    GGUFError,
    MemoryLimitError,
    UnknownAdapterError,
)
from edgelora.types import (
    BASE,
    AdapterFile,
    Failed,
    Finished,
    Member,
    Request,
    Selection,
)


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


def test_two_requests_of_one_name_are_an_error(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        core.submit(greedy("x", PROMPT, BASE))
        core.submit(greedy("x", PROMPT, BASE))
        kinds = sorted(type(event).__name__ for event in drain(core) if isinstance(event, Finished | Failed))
    assert kinds == ["Failed", "Finished"]


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


def test_an_adapter_that_overflows_is_refused(f32_base: Path, tmp_path: Path) -> None:
    wild = write_adapter(tmp_path / "wild.gguf", f32_base, strength=1e38, dtype="float32", alpha=1e30)
    with opened(exact_config(f32_base)) as core:
        expected = run(core, greedy("x", PROMPT, BASE))
        with pytest.raises(EngineError, match="no numbers"):
            core.load(wild)
        assert not core._pool.is_open
        assert run(core, greedy("x", PROMPT, BASE)) == expected
