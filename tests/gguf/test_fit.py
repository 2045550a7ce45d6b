"""Adapters that llama.cpp refuses, crashes on or misuses are all caught before a native call."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gguf import GGUFValueType, GGUFWriter
from support.adapters import write_adapter
from support.peft_folders import Shape, random_tensors, write_base

from edgelora.errors import AdapterError, AdapterMismatchError
from edgelora.gguf.fit import by_kind, check_fit, require_fit
from edgelora.gguf.reader import read_header
from edgelora.gguf.values import check_values

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora.gguf.header import Header

Q = "blk.0.attn_q.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Header:
    """Hidden size 64, four heads, two key/value heads, an output matrix of its own, and one stack of 3 experts."""
    shape = Shape()
    tensors = random_tensors(shape) | {"blk.0.ffn_up_exps.weight": np.zeros((3, 96, 64), np.float32)}
    return read_header(write_base(tmp_path_factory.mktemp("fit") / "base.gguf", shape, tensors))


@dataclass
class Sketch:
    """An adapter for one tensor; tests spoil one thing of it."""

    arch: str = "llama"
    general_type: tuple[Any, GGUFValueType] = ("adapter", GGUFValueType.STRING)
    alpha: tuple[Any, GGUFValueType] = (16.0, GGUFValueType.FLOAT32)
    alora: tuple[list[int], GGUFValueType] | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dtype: type[np.generic] = np.float32

    def write(self, path: Path) -> Header:
        writer = GGUFWriter(path, self.arch)
        writer.add_key_value("general.type", *self.general_type)
        writer.add_key_value("adapter.lora.alpha", *self.alpha)
        writer.add_string("adapter.type", "lora")
        if self.alora:
            writer.add_key_value("adapter.alora.invocation_tokens", self.alora[0], GGUFValueType.ARRAY, self.alora[1])
        for name, shape in self.shapes.items():
            writer.add_tensor(name, np.zeros(shape, self.dtype))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return read_header(path)


def pair(target: str, a: tuple[int, ...], b: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{target}.lora_a": a, f"{target}.lora_b": b}


GOOD = pair(Q, (4, 64), (64, 4))
MISFITS = {
    "other architecture": (Sketch(arch="qwen2", shapes=GOOD), ["architecture 'qwen2', the base is 'llama'"]),
    "no adapter": (Sketch(general_type=("model", GGUFValueType.STRING), shapes=GOOD), ["general.type must be"]),
    "type that aborts": (Sketch(general_type=(1, GGUFValueType.UINT32), shapes=GOOD), ["general.type must be"]),
    "alpha that aborts": (Sketch(alpha=(16, GGUFValueType.UINT32), shapes=GOOD), ["stored as UINT32"]),
    "alpha as double": (Sketch(alpha=(16.0, GGUFValueType.FLOAT64), shapes=GOOD), ["stored as FLOAT64"]),
    "alpha NaN": (Sketch(alpha=(float("nan"), GGUFValueType.FLOAT32), shapes=GOOD), ["alpha is nan"]),
    "alora type": (Sketch(alora=([1], GGUFValueType.INT32), shapes=GOOD), ["must be an array of UINT32"]),
    "suffix": (Sketch(shapes={**GOOD, "blk.0.attn_q.bias": (64,)}), ["neither a .lora_a nor a .lora_b"]),
    "half a pair": (Sketch(shapes={f"{Q}.lora_a": (4, 64)}), [f"{Q} has no .lora_b"]),
    "unknown tensor": (
        Sketch(shapes=pair("blk.0.attn_qq.weight", (4, 64), (64, 4))),
        [r"blk.0.attn_qq.weight does not exist in the base \(nearest: blk.0.attn_q.weight"],
    ),
    "no such layer": (Sketch(shapes=pair("blk.9.attn_q.weight", (4, 64), (64, 4))), ["does not exist in the base"]),
    "inputs": (Sketch(shapes=pair(Q, (4, 32), (64, 4))), ["A takes 32 inputs, the base 64"]),
    "outputs": (Sketch(shapes=pair(Q, (4, 64), (32, 4))), ["B gives 32 outputs, the base 64"]),
    "rank": (Sketch(shapes=pair(Q, (4, 64), (64, 8))), ["A has rank 4, B rank 8"]),
    "stack on a matrix": (Sketch(shapes=pair(Q, (2, 4, 64), (2, 64, 4))), ["must all be matrices or all be stacks"]),
    "on a vector": (Sketch(shapes=pair("blk.0.attn_norm.weight", (4, 64), (64, 4))), ["must all be matrices"]),
    "experts": (Sketch(shapes=pair("blk.0.ffn_up_exps.weight", (2, 4, 64), (2, 96, 4))), ["numbers of experts differ"]),
    "embedding not transposed": (Sketch(shapes=pair("token_embd.weight", (4, 48), (64, 4))), ["expected A"]),
    "embedding ranks": (Sketch(shapes=pair("token_embd.weight", (48, 4), (64, 8))), ["A has rank 4, B rank 8"]),
    "integers": (Sketch(shapes=GOOD, dtype=np.int32), ["has the type I32", "has the type I32"]),
    "several": (
        Sketch(arch="gemma", alpha=(1, GGUFValueType.UINT32), shapes=pair(Q, (4, 32), (32, 8))),
        ["architecture", "stored as UINT32", "A takes 32", "B gives 32", "A has rank"],
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_misfits_are_listed_completely(base: Header, tmp_path: Path, case: str) -> None:
    sketch, reasons = MISFITS[case]
    problems = check_fit(sketch.write(tmp_path / "a.gguf"), base)
    assert len(problems) == len(reasons)
    for problem, reason in zip(problems, reasons, strict=True):
        assert re.search(reason, problem)


def test_what_fits(base: Header, tmp_path: Path) -> None:
    shapes = {
        **GOOD,
        **pair("output.weight", (4, 64), (48, 4)),
        **pair("token_embd.weight", (48, 4), (64, 4)),
        **pair("blk.0.ffn_up_exps.weight", (3, 4, 64), (3, 96, 4)),
        "blk.0.attn_norm.weight": (64,),
    }
    sketch = Sketch(shapes=shapes, alora=([1], GGUFValueType.UINT32))
    require_fit(sketch.write(tmp_path / "a.gguf"), base)


def test_a_tied_embedding_cannot_be_adapted(tmp_path: Path) -> None:
    base = read_header(write_base(tmp_path / "tied.gguf", Shape(tied=True)))
    adapter = Sketch(shapes=pair("token_embd.weight", (48, 4), (64, 4))).write(tmp_path / "a.gguf")
    (problem,) = check_fit(adapter, base)
    assert "also the output matrix" in problem


def test_errors_say_whether_it_is_no_adapter_or_another_bases(base: Header, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="not a LoRA adapter"):
        require_fit(base, base)
    wider = write_base(tmp_path / "wider.gguf", Shape(hidden=128, layers=20))
    file = write_adapter(tmp_path / "a.gguf", wider)
    with pytest.raises(AdapterMismatchError, match=r"\(layers 0 to 1\)") as caught:
        require_fit(read_header(file.path), base)
    assert "a.gguf does not fit the base" in str(caught.value)


def test_values_that_are_not_finite(base: Header, tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "a.gguf", base.path, targets=("attn_q",))
    header = read_header(file.path)
    assert check_values(header) == []
    spoilt = bytearray(file.path.read_bytes())
    info = header.tensors[f"{Q}.lora_b"]
    spoilt[info.offset : info.offset + 2] = np.array([np.nan], np.float16).tobytes()
    file.path.write_bytes(spoilt)
    assert check_values(read_header(file.path)) == [f"tensor '{Q}.lora_b' holds values that are not finite"]


def test_the_same_in_many_layers_is_said_once() -> None:
    problems = [f"blk.{layer}.attn_q.weight: A takes 8 inputs, the base 16" for layer in (0, 1, 2)]
    problems += ["blk.4.ffn_up.weight does not exist in the base (nearest: blk.4.ffn_gate.weight)", "it is for gemma"]
    assert by_kind(problems) == [
        "blk.*.attn_q.weight: A takes 8 inputs, the base 16 (layers 0 to 2)",
        "blk.*.ffn_up.weight does not exist in the base (nearest: blk.*.ffn_gate.weight) (layer 4)",
        "it is for gemma",
    ]
    assert by_kind(problems[:1] + problems[2:3]) == [
        "blk.*.attn_q.weight: A takes 8 inputs, the base 16 (2 layers from 0 to 2)"
    ]
