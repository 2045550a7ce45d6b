"""Bases that llama.cpp would abort on, found by giving mutated ones to an engine."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from support.mutations import Parts
from support.raw_gguf import ARRAY, F32, KV, STRING, U32, text, u32

from edgelora.errors import GGUFError
from edgelora.gguf.computable import require_computable
from edgelora.gguf.reader import read_header

BF16, I16, Q8_0, I32 = 30, 25, 8, 26


def texts(*values: str | bytes) -> bytes:
    return struct.pack("<IQ", STRING, len(values)) + b"".join(map(text, values))


def numbers(*values: int) -> bytes:
    return struct.pack("<IQ", U32, len(values)) + b"".join(map(u32, values))


def with_type(parts: Parts, name: str, type_id: int) -> Parts:
    assert any(tensor.name == name for tensor in parts.tensors)
    changed = (replace(tensor, type_id=type_id) if tensor.name == name else tensor for tensor in parts.tensors)
    return replace(parts, tensors=tuple(changed)).laid_out()


def with_value(parts: Parts, key: str, kind: int, raw: bytes) -> Parts:
    return replace(parts, kvs=(*(kv for kv in parts.kvs if kv.key != key), KV(key, kind, raw)))


@pytest.fixture(scope="module")
def demo() -> Parts:
    return Parts.of(Path(__file__).parents[2] / "models" / "demo.gguf")


def check(parts: Parts, folder: Path) -> None:
    path = folder / "base.gguf"
    path.write_bytes(parts.encoded())
    require_computable(read_header(path))


@pytest.mark.parametrize(("name", "type_id"), [("blk.1.attn_norm.weight", BF16), ("blk.1.ffn_norm.weight", Q8_0)])
def test_vectors_must_be_f32(demo: Parts, tmp_path: Path, name: str, type_id: int) -> None:
    check(demo, tmp_path)
    with pytest.raises(GGUFError, match=f"'{name}' is .* must be F32"):
        check(with_type(demo, name, type_id), tmp_path)


@pytest.mark.parametrize("type_id", [I16, I32])
@pytest.mark.parametrize("name", ["token_embd.weight", "blk.1.attn_q.weight"])
def test_weights_must_be_of_a_type_that_is_multiplied_with(
    demo: Parts, tmp_path: Path, name: str, type_id: int
) -> None:
    check(with_type(demo, name, BF16), tmp_path)
    with pytest.raises(GGUFError, match=f"'{name}' is I.* no weights"):
        check(with_type(demo, name, type_id), tmp_path)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"expert_used_count": 2}, "2 of 0 experts"),
        ({"expert_count": 2}, "0 of 2 experts"),
        ({"expert_count": 1025, "expert_used_count": 2}, "2 of 1025 experts"),
        ({"expert_count": 4, "expert_used_count": 2, "expert_group_count": 4}, "4 experts are in 4 groups"),
        ({"expert_count": 4, "expert_used_count": 2, "expert_group_count": 3}, "0 of 3 groups of 4"),
        ({"expert_count": 4, "expert_used_count": 2, "expert_group_count": 2}, "0 of 2 groups of 4"),
        ({"nextn_predict_layers": 7}, "more layers than it has"),
        ({"expert_count": 4, "expert_used_count": 2, "expert_group_count": 2, "expert_group_used_count": 1}, None),
    ],
)
def test_counts_that_contradict_each_other(
    demo: Parts, tmp_path: Path, values: dict[str, int], problem: str | None
) -> None:
    parts = demo
    for key, value in values.items():
        parts = with_value(parts, f"llama.{key}", U32, u32(value))
    if problem:
        with pytest.raises(GGUFError, match=problem):
            check(parts, tmp_path)
    else:
        check(parts, tmp_path)


def test_experts_used_may_differ_between_layers(demo: Parts, tmp_path: Path) -> None:
    parts = with_value(demo, "llama.expert_count", U32, u32(4))
    check(with_value(parts, "llama.expert_used_count", ARRAY, numbers(1, 2, 4, 4, 0, 0)), tmp_path)
    with pytest.raises(GGUFError, match="5 of 4 experts"):
        check(with_value(parts, "llama.expert_used_count", ARRAY, numbers(1, 2, 4, 4, 5, 0)), tmp_path)


def test_a_scaling_that_nobody_knows(demo: Parts, tmp_path: Path) -> None:
    check(with_value(demo, "llama.rope.scaling.type", STRING, text("yarn")), tmp_path)
    with pytest.raises(GGUFError, match=r"'x', none of none, linear"):
        check(with_value(demo, "llama.rope.scaling.type", STRING, text("x")), tmp_path)


@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_an_epsilon_must_be_no_less_than_zero(demo: Parts, tmp_path: Path, value: float) -> None:
    key = "llama.attention.layer_norm_rms_epsilon"
    check(with_value(demo, key, F32, struct.pack("<f", 0.0)), tmp_path)
    with pytest.raises(GGUFError, match="layer_norm_rms_epsilon is"):
        check(with_value(demo, key, F32, struct.pack("<f", value)), tmp_path)


def test_tokens_must_differ(demo: Parts, tmp_path: Path) -> None:
    check(with_value(demo, "tokenizer.ggml.tokens", ARRAY, texts("a", "", b"\xfe", b"\xff", "")), tmp_path)
    for same in ("a", "a\x00b"):  # llama.cpp reads it as C does
        with pytest.raises(GGUFError, match="same token twice"):
            check(with_value(demo, "tokenizer.ggml.tokens", ARRAY, texts("a", "", "b", "", same)), tmp_path)
