"""A GGUF adapter is read back into the updates it was made of, whatever its factors are stored as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.problems import Problems
from edgelora_convert.sources.read import read_source
from edgelora_convert.update import Kind
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from gguf.quants import dequantize, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from edgelora_convert.source import Source

    from .conftest import Refused

RNG = np.random.default_rng(0)
Q = "blk.0.attn_q.weight"


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


PAIR = {f"{Q}.lora_a": values(32, 64), f"{Q}.lora_b": values(48, 32)}


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    kind: Type = Type.F32,
    more: Callable[[GGUFWriter], Any] = lambda writer: writer.add_float32("adapter.lora.alpha", 64.0),
    **texts: str,
) -> Path:
    writer = GGUFWriter(path, "llama")
    for key, text in {"general__type": "adapter", "adapter__type": "lora", **texts}.items():
        if text:
            writer.add_string(key.replace("__", "."), text)
    more(writer)
    for name, array in tensors.items():
        writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def read(path: Path) -> tuple[Source, list[str]]:
    problems, warnings = Problems("x"), Problems("x")
    source = read_source(path, problems, warnings)
    assert problems.lines() == []
    return source, warnings.lines()


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.BF16, Type.Q8_0])
def test_a_pair(tmp_path: Path, kind: Type) -> None:
    source, warnings = read(write(tmp_path / "x.gguf", PAIR, kind))
    (update,) = source.updates
    assert (update.module, update.kind, update.expert, update.scale) == (Q, Kind.LINEAR, None, 2.0)
    for matrix, stored in zip((update.a, update.b), PAIR.values(), strict=True):
        assert matrix.shape == stored.shape
        np.testing.assert_array_equal(matrix.load(), dequantize(quantize(stored, kind), kind))
    assert (source.naming, source.arch, source.name, warnings) == ("gguf", "llama", "x", [])


@pytest.mark.parametrize("kind", [Type.F32, Type.BF16, Type.Q8_0])
def test_experts(tmp_path: Path, kind: Type) -> None:
    name = "blk.0.ffn_up_exps.weight"
    a, b = values(3, 32, 64), values(3, 48, 32)
    updates = read(write(tmp_path / "x.gguf", {f"{name}.lora_a": a, f"{name}.lora_b": b}, kind))[0].updates
    assert [(update.module, update.expert) for update in updates] == [(name, 0), (name, 1), (name, 2)]
    for expert, update in enumerate(updates):
        np.testing.assert_array_equal(update.a.load(), dequantize(quantize(a[expert], kind), kind))
        np.testing.assert_array_equal(update.b.load(), dequantize(quantize(b[expert], kind), kind))


def test_the_embedding_is_turned_back(tmp_path: Path) -> None:
    """llama.cpp adds B·A[:, token], with A stored as [n_vocab, rank]."""
    a, b = values(11, 4), values(6, 4)
    tensors = {"token_embd.weight.lora_a": a, "token_embd.weight.lora_b": b}
    (update,) = read(write(tmp_path / "x.gguf", tensors))[0].updates
    assert update.kind is Kind.EMBEDDING
    assert (update.a.shape, update.b.shape, update.scale) == ((4, 11), (6, 4), 16.0)
    np.testing.assert_allclose((update.b.load() @ update.a.load()).T, a @ b.T, rtol=1e-5)


@pytest.mark.parametrize(
    ("alpha", "scale"),
    [
        (lambda writer: None, 1.0),
        (lambda writer: writer.add_float32("adapter.lora.alpha", 0.0), 1.0),
        (lambda writer: writer.add_float64("adapter.lora.alpha", 16.0), 0.5),
        (lambda writer: writer.add_uint32("adapter.lora.alpha", 16), 0.5),
    ],
    ids=["missing", "0", "FLOAT64", "UINT32"],
)
def test_scales(tmp_path: Path, alpha: Callable[[GGUFWriter], Any], scale: float) -> None:
    """Two of these make llama.cpp abort; written again, they are sound."""
    assert read(write(tmp_path / "x.gguf", PAIR, more=alpha))[0].updates[0].scale == scale


def test_what_it_says_about_itself(tmp_path: Path) -> None:
    def more(writer: GGUFWriter) -> None:
        writer.add_array("edgelora.eos_tokens", ["<end>", "<stop>"])
        writer.add_key_value("adapter.alora.invocation_tokens", [3, 5], 9, 4)

    texts = {
        "general__name": "mine",
        "general__base_model__0__name": "Tiny",
        "general__base_model__0__repo_url": "https://huggingface.co/org/tiny",
        "tokenizer__chat_template": "{{ messages }}",
        "edgelora__example_prompt": "Hello",
        "edgelora__system_prompt": "Be brief.",
    }
    source, _ = read(write(tmp_path / "x.gguf", PAIR, more=more, **texts))
    assert (source.name, source.base_name, source.invocation_tokens) == ("mine", "org/tiny", (3, 5))
    assert (source.texts.chat_template, source.texts.example_prompt) == ("{{ messages }}", "Hello")
    assert (source.texts.eos_tokens, source.texts.system_prompt) == (("<end>", "<stop>"), "Be brief.")


def test_a_norm_is_left_out_with_a_warning(tmp_path: Path) -> None:
    source, warnings = read(write(tmp_path / "x.gguf", {**PAIR, "blk.0.attn_norm.weight": values(1, 64)}))
    assert len(source.updates) == 1
    assert "llama.cpp ignores a norm" in warnings[0]


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"general__type": "model"}, "a GGUF model"),
    "old model": ({"general__type": ""}, "a GGUF model"),
    "vocabulary": ({"general__type": "vocab"}, "general.type is not 'adapter'"),
    "control vector": ({"adapter__type": "controlvector"}, "adapter.type is not 'lora'"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_ggufs(tmp_path: Path, refused: Refused, case: str) -> None:
    texts, expected = OTHERS[case]
    (problem,) = refused(write(tmp_path / "x.gguf", PAIR, **texts))
    assert expected in problem


TENSORS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "no a": ({f"{Q}.lora_b": values(4, 2)}, "its .lora_a is missing"),
    "no b": ({f"{Q}.lora_a": values(2, 4)}, "its .lora_b is missing"),
    "another": ({**PAIR, "blk.0.attn_q.bias": values(1, 4)}, "belongs to no LoRA pair"),
    "ranks": ({f"{Q}.lora_a": values(3, 4), f"{Q}.lora_b": values(4, 2)}, "A has rank 3, B rank 2"),
    "embedding": (
        {"token_embd.weight.lora_a": values(9, 3), "token_embd.weight.lora_b": values(4, 2)},
        "A has rank 3, B rank 2",
    ),
    "stack and matrix": ({f"{Q}.lora_a": values(2, 3, 4), f"{Q}.lora_b": values(4, 3)}, "do not belong together"),
    "experts": ({f"{Q}.lora_a": values(2, 3, 4), f"{Q}.lora_b": values(5, 4, 3)}, "do not belong together"),
    "too many experts": ({f"{Q}.lora_a": values(5000, 1, 1), f"{Q}.lora_b": values(5000, 1, 1)}, "5000 experts"),
    "vector": ({f"{Q}.lora_a": values(4), f"{Q}.lora_b": values(4)}, "do not belong together"),
    "four dimensions": ({f"{Q}.lora_a": values(2, 2, 3, 4), f"{Q}.lora_b": values(2, 2, 4, 3)}, "do not belong"),
    "nothing": ({}, "no LoRA pairs"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_refused_tensors(tmp_path: Path, refused: Refused, case: str) -> None:
    tensors, expected = TENSORS[case]
    assert expected in refused(write(tmp_path / "x.gguf", tensors))[0]


def test_refused_types(tmp_path: Path, refused: Refused) -> None:
    writer = GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    for name, array in PAIR.items():
        writer.add_tensor(name, array.astype(np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "has the type I32, which no adapter can have" in refused(tmp_path / "x.gguf")[0]


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), 1e30])
def test_refused_alpha(tmp_path: Path, refused: Refused, alpha: float) -> None:
    path = write(tmp_path / "x.gguf", PAIR, more=lambda writer: writer.add_float32("adapter.lora.alpha", alpha))
    assert "adapter.lora.alpha is" in refused(path)[0]


def test_text_as_alpha(tmp_path: Path, refused: Refused) -> None:
    path = write(tmp_path / "x.gguf", PAIR, more=lambda writer: writer.add_string("adapter.lora.alpha", "16"))
    assert "adapter.lora.alpha is STRING" in refused(path)[0]


def test_a_damaged_file(tmp_path: Path, refused: Refused) -> None:
    content = write(tmp_path / "x.gguf", PAIR).read_bytes()
    (tmp_path / "x.gguf").write_bytes(content[:-100])
    (problem,) = refused(tmp_path / "x.gguf")
    assert "cut off" in problem
