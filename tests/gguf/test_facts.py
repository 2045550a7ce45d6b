"""What headers say about bases and adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from gguf import GGUFWriter
from support import raw_gguf as raw
from support.adapters import write_adapter
from support.peft_folders import Shape, write_base

from edgelora.errors import AdapterError, GGUFError
from edgelora.gguf.facts import AdapterFacts, BaseFacts
from edgelora.gguf.hashes import file_sha256, fingerprint
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("facts") / "base.gguf", Shape(arch="qwen2", tied=True))


def model(path: Path, add: Callable[[GGUFWriter], object]) -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(8)
    add(writer)
    writer.add_tensor("token_embd.weight", np.zeros((4, 8), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_base(base: Path) -> None:
    facts, shape = BaseFacts.of(read_header(base)), Shape()
    assert (facts.arch, facts.name, facts.quantization) == ("qwen2", "tiny", "F32")
    assert (facts.n_layers, facts.n_embd, facts.n_vocab) == (shape.layers, shape.hidden, shape.vocab)
    assert (facts.n_head, facts.n_kv, facts.n_ff) == ((4, 4), (2, 2), (96, 96))
    assert facts.head_dim == shape.head_dim
    assert facts.tied
    assert facts.chat_template is None
    assert facts.eos_token_id is None


def test_sizes_per_layer_and_hints(tmp_path: Path) -> None:
    def add(writer: GGUFWriter) -> None:
        writer.add_head_count([4, 2])
        writer.add_head_count_kv([2, 1])
        writer.add_key_length(16)
        writer.add_file_type(15)
        writer.add_float32("general.sampling.temp", 0.5)
        writer.add_chat_template("{{ messages }}")
        writer.add_eos_token_id(3)

    facts = BaseFacts.of(read_header(model(tmp_path / "m.gguf", add)))
    assert (facts.n_head, facts.n_kv, facts.head_dim) == ((4, 2), (2, 1), 16)
    assert (facts.quantization, facts.sampling, facts.eos_token_id) == ("Q4_K_M", {"temp": 0.5}, 3)
    assert facts.chat_template == "{{ messages }}"


def test_impossible_numbers_of_layers(tmp_path: Path) -> None:
    for count, reason in ((2**32 - 1, "4294967295 layers are more than"), (0, "is missing or not positive")):
        blocks = raw.KV("llama.block_count", raw.U32, raw.u32(count))
        path = raw.write(tmp_path / "m.gguf", raw.encode((raw.ARCH, blocks)))
        with pytest.raises(GGUFError, match=reason):
            BaseFacts.of(read_header(path))


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (lambda writer: writer.add_type("adapter"), "holds 'adapter', not a base"),
        (lambda writer: writer.add_head_count([4]), "one whole number for each of the 2 layers"),
        (lambda writer: writer.add_string("llama.attention.head_count", "4"), "must be a whole number"),
        (lambda writer: writer.add_uint32("tokenizer.chat_template", 4), "is UINT32, expected str"),
    ],
)
def test_not_a_base(tmp_path: Path, add: Callable[[GGUFWriter], object], reason: str) -> None:
    with pytest.raises(GGUFError, match=reason):
        BaseFacts.of(read_header(model(tmp_path / "m.gguf", add)))


def test_adapter(base: Path, tmp_path: Path) -> None:
    file = write_adapter(
        tmp_path / "skill.gguf", base, rank=8, alpha=12, targets=("attn_q", "ffn_up"), ranks={"ffn_up": 4}
    )
    facts = AdapterFacts.of(read_header(file.path))
    assert (facts.arch, facts.name, facts.alpha, facts.dtype) == ("qwen2", "skill", 12.0, "F16")
    assert facts.targets == ("attn_q", "ffn_up")
    assert facts.ranks["blk.1.ffn_up.weight"] == 4
    assert facts.scales == {name: 12 / rank for name, rank in facts.ranks.items()}
    assert facts.max_rank == 8
    assert facts.n_params == 2 * (8 * (64 + 64) + 4 * (64 + 96))


def test_an_alpha_of_zero_means_no_scale(base: Path, tmp_path: Path) -> None:
    file = write_adapter(tmp_path / "a.gguf", base, rank=4, alpha=0, targets=("attn_q",))
    assert set(AdapterFacts.of(read_header(file.path)).scales.values()) == {1.0}


def test_a_base_is_not_an_adapter(base: Path) -> None:
    with pytest.raises(AdapterError, match="not a LoRA adapter"):
        AdapterFacts.of(read_header(base))


def test_fingerprint_sees_weights_and_sizes_but_not_texts(tmp_path: Path) -> None:
    def print_of(name: str, **texts: str) -> str:
        return fingerprint(write_base(tmp_path / name, Shape(), **texts))

    plain = print_of("a.gguf", general__description="one", tokenizer__chat_template="x")
    assert print_of("b.gguf", general__description="two", tokenizer__chat_template="y") == plain
    assert print_of("c.gguf", general__description="one", tokenizer__chat_template="x", other__key="z") != plain
    content = bytearray((tmp_path / "a.gguf").read_bytes())
    content[-1] ^= 1
    (tmp_path / "d.gguf").write_bytes(content)
    assert fingerprint(tmp_path / "d.gguf") != plain


def test_file_hash_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="cannot be read"):
        file_sha256(tmp_path / "none")
