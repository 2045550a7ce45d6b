"""Embeddings are those of llama.cpp's own pooling under its own adapters, whatever else is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.adapters import write_adapter
from support.engines import exact_config, greedy, opened, run, selection

from edgelora.engine.core import EngineCore
from edgelora.errors import ContextOverflowError, EngineError, UnknownAdapterError
from edgelora.native.batch import Batch
from edgelora.native.context import Context, NativeAdapter
from edgelora.types import BASE, AdapterFile, Selection

TEXT = tuple(range(300, 430))


@pytest.fixture
def strong(tmp_path: Path, f32_base: Path) -> list[AdapterFile]:
    return [
        write_adapter(tmp_path / f"{seed}.gguf", f32_base, seed=seed, strength=4.0, dtype="float32") for seed in (1, 2)
    ]


def embedding(core: EngineCore, under: Selection, *, beside_answers: bool = False) -> np.ndarray:
    core.embedder.submit(1, TEXT, under)
    while (answer := core.embedder.step(beside_answers=beside_answers)) is None:
        pass
    assert not isinstance(answer[1], EngineError), answer[1]
    return np.array(answer[1])


def reference(core: EngineCore, files: list[tuple[AdapterFile, float]]) -> np.ndarray:
    """The mean of llama.cpp's hidden states of one batch, with its own adapters."""
    context = Context(
        core._model, cells=256, sequences=1, batch=256, threads=1, kv_dtype="f32", flash_attention="off",
        outputs=256, embeddings=True,
    )  # fmt: skip
    natives = [(NativeAdapter(core._model, file.path), scale) for file, scale in files]
    context.set_adapters(natives)
    batch = Batch(256)
    batch.add(TEXT, position=0, sequence=0, logits=True)
    assert context.decode(batch) == 0
    mean = context.hidden_states(len(TEXT)).mean(axis=0)
    context.set_adapters([])
    for native, _ in natives:
        native.free()
    context.close()
    return mean / np.linalg.norm(mean)


def test_embeddings_are_llama_cpps_own_under_each_selection(f32_base: Path, strong: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), strong) as core:
        seen = []
        for files in ([], [(strong[0], 1.0)], [(strong[0], 0.5), (strong[1], -0.5)], [(strong[1], 1.0)], []):
            under = selection(*files) if files else BASE
            made = embedding(core, under)
            assert np.allclose(made, reference(core, files), atol=1e-5)
            assert np.isclose(np.linalg.norm(made), 1)
            assert np.allclose(embedding(core, under, beside_answers=True), made, atol=1e-5)
            seen.append(made)
    assert all(np.abs(a - b).max() > 1e-2 for i, a in enumerate(seen[:4]) for b in seen[:i])
    assert np.allclose(seen[0], seen[4], atol=1e-6)


def test_answers_are_not_touched(f32_base: Path, strong: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), strong) as core:
        ask = greedy("x", TEXT[:30], selection((strong[0], 1.0)), 16)
        alone = run(core, ask)
        core.forget_conversations()
        core.submit(ask)
        core.embedder.submit(1, TEXT, selection((strong[1], 1.0)))
        text = ""
        while core.busy:
            for event in core.step():
                text += getattr(event, "text", "")
            if core.embedder.busy:
                core.embedder.step(beside_answers=True)
    assert {"x": text} == alone


def test_what_cannot_be_embedded(f32_base: Path, strong: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base)) as core:
        with pytest.raises(EngineError, match="vocabulary"):
            core.embedder.submit(1, (10**7,), BASE)
        with pytest.raises(ContextOverflowError):
            core.embedder.submit(1, TEXT * 3, BASE)
        core.embedder.submit(1, TEXT, selection((strong[0], 1.0)))  # never loaded
        answer = core.embedder.step(beside_answers=False)
        assert answer
        assert isinstance(answer[1], UnknownAdapterError)
        assert not core.embedder.busy


def test_what_nobody_waits_for_any_more_is_not_computed(f32_base: Path, strong: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base), strong) as core:
        alone = embedding(core, BASE)
        core.embedder.submit(7, TEXT, selection((strong[0], 1.0)))
        core.embedder.submit(8, TEXT, BASE)
        assert core.embedder.step(beside_answers=True) is None
        core.embedder.abandon(7)
        while (answer := core.embedder.step(beside_answers=True)) is None:
            pass
        assert answer[0] == 8
        assert np.allclose(answer[1], alone, atol=1e-5)
        assert not core.embedder.busy
