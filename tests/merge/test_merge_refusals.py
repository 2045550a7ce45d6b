"""What merge refuses, with one error and without a file left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.adapters import write_adapter
from support.merging import LEGAL, UNVERIFIED
from support.peft_folders import Shape, peft_source, write_base

from edgelora.errors import EdgeloraError, GGUFError, MergeError
from edgelora.gguf.reader import read_header
from edgelora.merge.merge import merge
from edgelora.merge.options import MergeMember, Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from gguf import GGUFWriter

    from edgelora.merge.options import Precision
    from edgelora.types import Progress


def test_same_is_refused_where_less_than_half_would_be_left(quantized: Callable[[str], Path], tmp_path: Path) -> None:
    base, out = quantized("Q4_0"), tmp_path / "out.gguf"
    weak = write_adapter(tmp_path / "weak.gguf", base, strength=0.01).path
    with pytest.raises(MergeError, match=r"only about \d+ % of the adapter would be left") as refused:
        merge(base, [MergeMember(weak)], out, Options("same", verify=False, threads=1))
    assert "--precision auto" in refused.value.hint
    assert not out.exists()
    report = merge(base, [MergeMember(weak)], out, Options("same", verify=False, force=True, threads=1))
    assert report.adapter_kept < 0.5
    assert merge(base, [MergeMember(weak)], out, UNVERIFIED).adapter_kept > 0.9


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("missing base", GGUFError, "no such file"),
        ("missing adapter", EdgeloraError, "none.gguf"),
        ("base as adapter", EdgeloraError, "adapter"),
        ("misfit", EdgeloraError, "attn_q"),
        ("out is base", MergeError, "one of the files that are merged"),
        ("out is adapter", MergeError, "one of the files that are merged"),
        ("no folder", MergeError, "cannot be written"),
        ("source is quantized", MergeError, "quantized itself"),
        ("source is a folder", MergeError, "no folder of a model"),
        ("nothing", MergeError, "no adapter"),
    ],
)
def test_bad_inputs_are_one_error_and_leave_nothing(
    demo_base: Path, tmp_path: Path, what: str, error: type[EdgeloraError], said: str
) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(demo_base.read_bytes())
    adapter = write_adapter(tmp_path / "adapter.gguf", base).path
    other = narrower_adapter(tmp_path / "other.gguf", base)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    out, missing = tmp_path / "out.gguf", tmp_path / "none.gguf"
    arguments: dict[str, tuple[Path, list[Path], Path, Path | None]] = {
        "missing base": (missing, [adapter], out, None),
        "missing adapter": (base, [missing], out, None),
        "base as adapter": (base, [base], out, None),
        "misfit": (base, [other], out, None),
        "out is base": (base, [adapter], base, None),
        "out is adapter": (base, [adapter], adapter, None),
        "no folder": (base, [adapter], tmp_path / "no" / "out.gguf", None),
        "source is quantized": (base, [adapter], out, base),
        "source is a folder": (base, [adapter], out, tmp_path),
        "nothing": (base, [], out, None),
    }
    path, members, target, source = arguments[what]
    with pytest.raises(error, match=said):
        merge(path, [MergeMember(member) for member in members], target, Options(source=source, threads=1))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_place_that_cannot_be_written_is_said_before_the_work(demo_base: Path, tmp_path: Path) -> None:
    def work(progress: Progress) -> None:
        pytest.fail(f"it was {progress.stage}")

    with pytest.raises(MergeError, match="this is a folder"):
        merge(demo_base, [MergeMember(LEGAL)], tmp_path, UNVERIFIED, report=work)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder of Linux in which no file can be made")
def test_that_no_file_can_be_made_is_said_before_the_work(demo_base: Path) -> None:
    def work(progress: Progress) -> None:
        pytest.fail(f"it was {progress.stage}")

    with pytest.raises(MergeError, match="cannot be written"):
        merge(demo_base, [MergeMember(LEGAL)], Path("/proc/x.gguf"), UNVERIFIED, report=work)


def test_a_file_of_an_adapters_folder_is_not_written_over(tmp_path: Path) -> None:
    folder = peft_source(Shape()).save(tmp_path / "mine")
    weights = folder / "adapter_model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(MergeError, match="one of the files that are merged"):
        merge(write_base(tmp_path / "base.gguf", Shape()), [MergeMember(folder)], weights, UNVERIFIED)
    assert weights.read_bytes() == before


@pytest.mark.parametrize("precision", ["auto", "q6_k"])
@pytest.mark.parametrize("broken", ["adapter", "product", "base"])
def test_values_that_are_no_numbers_are_one_error(
    f32_base: Path, tmp_path: Path, broken: str, precision: Precision
) -> None:
    base, name = tmp_path / "base.gguf", "blk.0.ffn_up.weight"
    base.write_bytes(f32_base.read_bytes())
    info = read_header(base).tensors[name]
    fill = {"adapter": np.nan, "product": 3e38, "base": 1.0}[broken]

    def extra(writer: GGUFWriter) -> None:
        writer.add_tensor(f"{name}.lora_a", np.full((4, info.shape[0]), fill, np.float32))
        writer.add_tensor(f"{name}.lora_b", np.full((info.shape[1], 4), fill, np.float32))

    adapter = write_adapter(tmp_path / "adapter.gguf", base, targets=(), extra=extra).path
    if broken == "base":
        with base.open("r+b") as file:
            file.seek(info.offset)
            file.write(b"\xff" * info.nbytes)
    with pytest.raises(MergeError, match=r"ffn_up.*not finite") as refused:
        merge(base, [MergeMember(adapter, 2.0)], tmp_path / "out.gguf", Options(precision, verify=False, threads=1))
    assert "--precision" not in refused.value.hint
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize("stage", ["writing", "verifying"])
@pytest.mark.parametrize("which", ["base", "adapter"])
def test_a_file_that_is_replaced_meanwhile_is_one_error(
    demo_base: Path, tmp_path: Path, which: str, stage: str
) -> None:
    base, adapter = tmp_path / "base.gguf", tmp_path / "adapter.gguf"
    base.write_bytes(demo_base.read_bytes())
    adapter.write_bytes(LEGAL.read_bytes())
    replaced = {"base": base, "adapter": adapter}[which]
    newer = tmp_path / "newer.gguf"
    newer.write_bytes(replaced.read_bytes())

    def download_again(progress: Progress) -> None:
        if progress.stage == stage and newer.exists():
            newer.replace(replaced)

    with pytest.raises(MergeError, match=rf"{which}\.gguf: it was changed or replaced"):
        merge(base, [MergeMember(adapter)], tmp_path / "out.gguf", Options(threads=1), report=download_again)
    assert sorted(tmp_path.iterdir()) == [adapter, base]


def test_names_need_not_be_text(demo_base: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    base, adapter = folder / "base.gguf", folder / "a b\n\N{GRINNING FACE}.gguf"
    base.write_bytes(demo_base.read_bytes())
    adapter.write_bytes(LEGAL.read_bytes())
    assert merge(base, [MergeMember(adapter)], folder / "out.gguf", Options(threads=1)).verdict == "passed"


def narrower_adapter(path: Path, base: Path) -> Path:
    """For a base whose tensors are narrower."""
    header = read_header(base)

    def extra(writer: GGUFWriter) -> None:
        info = header.tensors["blk.0.attn_q.weight"]
        writer.add_tensor("blk.0.attn_q.weight.lora_a", np.ones((4, info.shape[0] // 2), np.float32))
        writer.add_tensor("blk.0.attn_q.weight.lora_b", np.ones((info.shape[1] // 2, 4), np.float32))

    return write_adapter(path, base, targets=("attn_k",), extra=extra).path
