"""The callback: whatever is raised inside of it, llama.cpp computes the whole graph, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, run, selection

from edgelora.errors import EngineError


@pytest.mark.parametrize(
    ("raised", "expected"), [(ZeroDivisionError, EngineError), (KeyboardInterrupt, KeyboardInterrupt)]
)
def test_an_exception_inside_the_callback_ends_the_step_and_nothing_else(
    f32_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException],
    expected: type[BaseException],
) -> None:  # fmt: skip
    adapter = write_adapter(tmp_path / "a.gguf", f32_base)
    prompt = list(range(300, 320))
    with opened(exact_config(f32_base), [adapter]) as core:
        before = run(core, greedy("before", prompt, selection((adapter, 1.0))))["before"]

        def interrupted(node: int, kind: int) -> None:
            raise raised

        with monkeypatch.context() as patch:
            patch.setattr(core._masker, "_apply", interrupted)
            with pytest.raises(expected):
                run(core, greedy("hit", list(range(400, 420)), selection((adapter, 1.0))))
        drain(core)
        after = run(core, greedy("after", prompt, selection((adapter, 1.0))))["after"]
    assert after == before
