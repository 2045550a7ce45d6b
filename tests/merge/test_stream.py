"""What a streamed merge computes and what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from support.adapters import write_adapter
from support.logits import native_rows, relative_error
from support.merging import merged_by_hand
from support.raw_gguf import MODEL, Tensor, encode
from support.streaming import merge, plan, rewrites, tensors_of, values_of, write

from edgelora.errors import GGUFError, MergeError
from edgelora.gguf.reader import read_header
from edgelora.merge import stream
from edgelora.merge.base import read_base
from edgelora.merge.layout import Rewrite, plan_layout
from edgelora.types import Progress

PROMPTS = ([5, 9, 200, 31, 7, 77, 12], [3, 4, 5])


@pytest.mark.parametrize("kind", [None, "Q8_0", "F16", "Q4_0"])
def test_untouched_tensors_stay_bit_for_bit(
    kind: str | None, demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    before, after = tensors_of(demo_base), tensors_of(merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", kind))
    touched = {rewrite.tensor.name for rewrite in rewrites(read_base(demo_base), {adapters[0]: 1})}
    assert {name for name in before if before[name] != after[name]} == touched


def test_scale_zero_changes_no_byte(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    out = merge(demo_base, {adapters[0]: 0, adapters[1]: -0.0}, tmp_path / "out.gguf", "F16")
    assert tensors_of(out) == tensors_of(demo_base)


def test_values_are_those_of_a_merge_by_hand(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    by_hand = merged_by_hand(tmp_path / "by-hand.gguf", f32_base, adapters[1], 0.7)
    out = merge(f32_base, {adapters[1]: 0.7}, tmp_path / "out.gguf")
    for name in read_header(f32_base).tensors:
        np.testing.assert_allclose(values_of(out, name), values_of(by_hand, name), rtol=1e-5, atol=1e-6)


def test_the_merged_base_answers_as_the_base_with_the_adapter(
    f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    out = merge(f32_base, {adapters[0]: 1}, tmp_path / "out.gguf")
    alone, adapted, merged = (
        native_rows(f32_base, PROMPTS),
        native_rows(f32_base, PROMPTS, adapters[0]),
        native_rows(out, PROMPTS),
    )
    assert relative_error(alone, adapted) > 0.05
    assert relative_error(merged, adapted) < 1e-4


def test_a_quantized_base_answers_as_the_base_with_the_adapter(
    demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    out = merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16")
    alone, adapted, merged = (
        native_rows(base, PROMPTS, adapter)
        for base, adapter in ((demo_base, None), (demo_base, adapters[0]), (out, None))
    )
    assert relative_error(merged, adapted) < relative_error(alone, adapted) / 5


def test_there_and_back_gives_the_base(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    there = merge(f32_base, {adapters[0]: 0.8}, tmp_path / "there.gguf")
    back = merge(there, {adapters[0]: -0.8}, tmp_path / "back.gguf")
    for name in read_header(f32_base).tensors:
        base, moved, returned = (values_of(path, name) for path in (f32_base, there, back))
        np.testing.assert_allclose(returned, base, atol=float(np.abs(moved).max()) * 1e-6)


def test_two_adapters_are_one_after_the_other(f32_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    together = merge(f32_base, {adapters[0]: 0.5, adapters[1]: 1.5}, tmp_path / "together.gguf")
    first = merge(f32_base, {adapters[0]: 0.5}, tmp_path / "first.gguf")
    both = merge(first, {adapters[1]: 1.5}, tmp_path / "both.gguf")
    for name in read_header(f32_base).tensors:
        np.testing.assert_allclose(values_of(together, name), values_of(both, name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("piece", [1000, 1 << 30])
@pytest.mark.parametrize("threads", [1, 3])
def test_bytes_depend_neither_on_pieces_nor_on_threads(
    piece: int,
    threads: int,
    demo_base: Path,
    adapters: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = {adapters[0]: 1, adapters[1]: 1}
    expected = merge(demo_base, both, tmp_path / "expected.gguf", "Q8_0", threads=1)
    monkeypatch.setattr(stream, "PIECE_VALUES", piece)
    monkeypatch.setattr(stream, "COPY_BYTES", piece * 1000)
    found = merge(demo_base, both, tmp_path / "found.gguf", "Q8_0", threads=threads)
    close = [
        np.abs(values_of(expected, name) - values_of(found, name)).max()
        <= np.abs(values_of(expected, name)).max() / 127
        for name in read_header(expected).tensors
    ]
    assert all(close)  # products of other shapes round otherwise, by one step at most
    again = merge(demo_base, both, tmp_path / "again.gguf", "Q8_0", threads=4 - threads)
    assert again.read_bytes() == found.read_bytes()


def test_a_stack_of_experts_is_merged_matrix_by_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, (n_in, n_out, n_expert) = "blk.0.ffn_up_exps.weight", (32, 10, 5)
    weights = np.random.default_rng(0).standard_normal((n_expert, n_out, n_in), np.float32)
    base, adapter = tmp_path / "base.gguf", tmp_path / "adapter.gguf"
    base.write_bytes(encode(MODEL, (Tensor(name, (n_in, n_out, n_expert)),), weights.tobytes()))
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((n_expert, 2, n_in), np.float32), rng.standard_normal((n_expert, n_out, 2), np.float32)

    def experts(writer: object) -> None:
        writer.add_tensor(name + ".lora_a", a)  # type: ignore[attr-defined]
        writer.add_tensor(name + ".lora_b", b)  # type: ignore[attr-defined]

    write_adapter(adapter, base, targets=(), alpha=2, extra=experts)
    monkeypatch.setattr(stream, "PIECE_VALUES", 7 * n_in)
    out = merge(base, {adapter: 0.5}, tmp_path / "out.gguf")
    np.testing.assert_allclose(values_of(out, name), weights + 0.5 * (b @ a), rtol=1e-4, atol=1e-5)


def test_progress_counts_the_bytes_of_the_file(demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path) -> None:
    seen: list[Progress] = []
    out = merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16", report=seen.append)
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert {(progress.total, progress.unit) for progress in seen} == {(out.stat().st_size, "bytes")}
    assert 0.99 < done[-1] / out.stat().st_size <= 1


def test_pieces_are_worked_on_side_by_side(demo_base: Path, tmp_path: Path) -> None:
    base, meeting = read_base(demo_base), threading.Barrier(2, timeout=20)
    tensors = [tensor for tensor in base.tensors.values() if len(tensor.shape) == 2][:2]

    def meet(first: int, values: np.ndarray, old: np.ndarray) -> np.ndarray:
        meeting.wait()
        return old

    layout = plan_layout(base, [Rewrite(tensor, tensor.type_name, None, meet) for tensor in tensors], {})
    write(layout, tmp_path / "out.gguf", threads=2)
    assert tensors_of(tmp_path / "out.gguf") == tensors_of(demo_base)


def test_values_that_do_not_fit_are_named_and_nothing_is_left(demo_base: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "adapter").mkdir()
    write_adapter(folder / "strong.gguf", demo_base, rank=8, alpha=1e9)
    with pytest.raises(MergeError, match=r"blk\.\S+\.weight: a value of size .* is too large for F16"):
        merge(demo_base, {folder / "strong.gguf": 1}, tmp_path / "out.gguf", "F16", threads=1)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("wrong", [lambda old: old[:, :-1], lambda old: np.full_like(old, 0xFF)])
def test_encoded_rows_are_checked(wrong: object, demo_base: Path, tmp_path: Path) -> None:
    base = read_base(demo_base)
    tensor = base.tensors["blk.0.attn_q.weight"]
    broken = Rewrite(tensor, "Q8_0", None, lambda first, values, old: wrong(old))  # type: ignore[operator]
    with pytest.raises(MergeError, match=r"blk\.0\.attn_q\.weight: the new rows cannot be stored as Q8_0"):
        write(plan_layout(base, [broken], {}), tmp_path / "out.gguf")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "said"), [(-100_000, "the file ends within"), (None, r"base\.gguf: cannot be read")])
@pytest.mark.parametrize("scale", [0, 1])
def test_a_base_that_shrinks_or_goes_meanwhile_is_one_error(
    size: int | None, said: str, scale: float, demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path
) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(demo_base.read_bytes())
    layout = plan(base, {adapters[0]: scale}, "F16")
    if size is None:
        base.unlink()
    else:
        base.write_bytes(demo_base.read_bytes()[:size])
    with pytest.raises(GGUFError, match=said):
        write(layout, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
    assert not list(tmp_path.glob(".*"))


def test_copying_works_where_the_kernel_cannot(
    demo_base: Path, adapters: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def across_disks(*args: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    expected = merge(demo_base, {adapters[0]: 1}, tmp_path / "expected.gguf", "F16").read_bytes()
    monkeypatch.setattr("os.copy_file_range", across_disks)
    assert merge(demo_base, {adapters[0]: 1}, tmp_path / "out.gguf", "F16").read_bytes() == expected


MEMORY = """
import sys
from pathlib import Path
from support.streaming import merge
def anonymous():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024
before, most = anonymous(), []
base, adapter, out = map(Path, sys.argv[1:])
merge(base, {adapter: 1}, out, "Q8_0", threads=2, report=lambda _: most.append(anonymous()))
print(max(most) - before)
"""


def test_memory_does_not_grow_with_the_base(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base.gguf", tmp_path / "adapter.gguf"
    shape, nbytes = (4096, 16384), 4096 * 16384 // 32 * 34
    tensors = tuple(Tensor(f"blk.{i}.ffn_up.weight", shape, 8, i * nbytes) for i in range(2))
    base.write_bytes(encode(MODEL, tensors))
    with base.open("rb+") as file:
        file.truncate(base.stat().st_size + 2 * nbytes)
    write_adapter(adapter, base, rank=8, targets=("ffn_up",))
    command = [sys.executable, "-c", MEMORY, str(base), str(adapter), str(tmp_path / "out.gguf")]
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "convert"), str(root / "tests")]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ":".join(paths)}
    )
    assert float(run.stdout) < 64, "MiB; one of the two tensors has 256 in F32, 68 as it is stored"
