"""The callback, in native code and in Python: what it masks, and that nothing is lost when something goes wrong."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import callbacks
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, run, selection

from edgelora.engine.mask import Masker, PythonMasker, Watched, new_masker
from edgelora.errors import EngineError
from edgelora.native import layout


@pytest.fixture(params=callbacks.KINDS)
def masker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Masker:
    callbacks.use(request.param, monkeypatch)
    made = new_masker()
    assert isinstance(made, PythonMasker) == (request.param == "python")
    return made


class FakeNode:
    """The fields of a ``ggml_tensor`` that a callback reads; ``values`` is its data."""

    def __init__(self, source: int, values: np.ndarray) -> None:
        self.memory = ctypes.create_string_buffer(512)
        self.address = ctypes.addressof(self.memory)
        self.values = values
        sizes = (*reversed(values.shape), 1, 1, 1)[:4]
        for i, size in enumerate(sizes):
            ctypes.c_int64.from_address(self.address + layout.NE + 8 * i).value = size
        ctypes.c_uint64.from_address(self.address + layout.SRC0).value = source
        ctypes.c_uint64.from_address(self.address + layout.DATA).value = values.ctypes.data


def ask(masker: Masker, node: FakeNode) -> bool:
    """What the graph would do with ``node``: ask, and show it where that is wanted."""
    wanted = masker.callback(node.address, True, _state(masker))  # type: ignore[operator]
    assert not wanted or masker.callback(node.address, False, _state(masker))  # type: ignore[operator]
    return bool(wanted)


def _state(masker: Masker) -> int | None:
    return masker.state and ctypes.addressof(masker.state)


SMALL = st.integers(1, 5)


@given(n_tokens=SMALL, n_used=SMALL, n_columns=SMALL, n_outputs=st.integers(0, 5), kinds=SMALL, seed=st.integers(0, 99))
@pytest.mark.parametrize("kind", callbacks.KINDS)
def test_products_of_watched_tensors_are_multiplied_with_their_mask(
    kind: str, n_tokens: int, n_used: int, n_columns: int, n_outputs: int, kinds: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n_outputs = min(n_outputs, n_tokens)
    with pytest.MonkeyPatch.context() as patch:
        callbacks.use(kind, patch)
        masker = new_masker()
    at = 2**47 + 16 * rng.integers(0, 1000)  # every tensor another address
    tensors = {at + 16 * int(i): int(i) % kinds for i in rng.choice(5000, 40, replace=False)}
    masker.watch({tensor: Watched(of, routed=bool(tensor & 32)) for tensor, of in tensors.items()})
    tokens, outputs = (
        [rng.standard_normal((n, n_columns)).astype(np.float32) for _ in range(kinds)] for n in (n_tokens, n_outputs)
    )
    masker.set_masks(tokens, tokens if n_outputs == n_tokens else outputs)
    for tensor, of in tensors.items():
        for mask in (tokens[of], tokens[of] if n_outputs == n_tokens else outputs[of]):
            shape = (len(mask), n_used, n_columns) if tensor & 32 else mask.shape
            values = rng.standard_normal(shape).astype(np.float32)
            expected = values * (mask[:, None] if tensor & 32 else mask)
            node = FakeNode(tensor, values)
            assert ask(masker, node)
            assert (node.values == expected).all()
    assert not any(ask(masker, FakeNode(other, values)) for other in (0, at - 16, 64) if other not in tensors)
    masker.require_applied()
    masker.raise_error()


@pytest.mark.parametrize(("shape", "message"), [((3, 4), "3 rows"), ((2, 5), "5 columns"), ((2, 2, 4), "4 rows")])
def test_a_product_of_another_shape_is_left_alone_and_fails_the_batch(
    masker: Masker, shape: tuple[int, ...], message: str
) -> None:
    masker.watch({1 << 20: Watched(0)})
    mask = [np.zeros((2, 4), np.float32)]
    masker.set_masks(mask, mask)
    node = FakeNode(1 << 20, np.ones(shape, np.float32))
    assert ask(masker, node)
    assert (node.values == 1).all()
    with pytest.raises(EngineError, match=message):
        masker.raise_error()
    masker.raise_error()  # it is raised once


def test_a_product_that_is_not_seen_fails_the_batch(masker: Masker) -> None:
    masker.watch({1 << 20: Watched(0), 1 << 21: Watched(0)})
    mask = [np.zeros((2, 4), np.float32)]
    masker.set_masks(mask, mask)
    ask(masker, FakeNode(1 << 20, np.ones((2, 4), np.float32)))
    with pytest.raises(EngineError, match="1 of 2"):
        masker.require_applied()


def test_both_callbacks_give_the_same_answers(f32_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = [write_adapter(tmp_path / f"{i}.gguf", f32_base, seed=i) for i in range(2)]
    answers = []
    for kind in callbacks.KINDS:
        with monkeypatch.context() as patch:
            callbacks.use(kind, patch)
            with opened(exact_config(f32_base), adapters) as core:
                assert core.base.callback == kind
                requests = [greedy(f"{i}", range(300, 320 + i), selection((a, 0.7))) for i, a in enumerate(adapters)]
                answers.append(run(core, *requests, greedy("base", range(300, 310), selection())))
    assert answers[0] == answers[1]
    assert len(set(answers[0].values())) == 3


@pytest.mark.parametrize(
    ("raised", "expected"), [(ZeroDivisionError, EngineError), (KeyboardInterrupt, KeyboardInterrupt)]
)
def test_an_exception_inside_the_python_callback_ends_the_step_and_nothing_else(
    f32_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException],
    expected: type[BaseException],
) -> None:  # fmt: skip
    callbacks.use("python", monkeypatch)
    adapter = write_adapter(tmp_path / "a.gguf", f32_base)
    prompt = list(range(300, 320))
    with opened(exact_config(f32_base), [adapter]) as core:
        before = run(core, greedy("before", prompt, selection((adapter, 1.0))))["before"]

        def interrupted(node: int, watched: Watched) -> None:
            raise raised

        with monkeypatch.context() as patch:
            patch.setattr(core._masker, "_apply", interrupted)
            with pytest.raises(expected):
                run(core, greedy("hit", list(range(400, 420)), selection((adapter, 1.0))))
        drain(core)
        after = run(core, greedy("after", prompt, selection((adapter, 1.0))))["after"]
    assert after == before


def test_a_library_of_another_source_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgelora.native import mask_callback

    library = callbacks.built()
    if library is None:
        pytest.skip("no C compiler")
    changed = tmp_path / "changed.c"
    changed.write_bytes(mask_callback.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(mask_callback, "SOURCE", changed)
    assert mask_callback.load.__wrapped__(library) is None
    assert mask_callback.load.__wrapped__(tmp_path / "missing.so") is None
