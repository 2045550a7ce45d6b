"""What is said to be ignored by llama.cpp is ignored by it, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from edgelora_convert.ignored import is_ignored
from gguf import GGUFWriter
from support.adapters import write_adapter
from support.logits import native_rows

from edgelora.errors import ConversionError
from edgelora.gguf.facts import short_target
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = ([1, 2, 3], [4, 5, 6, 7])
HIDDEN, HEADS, NOPE, ROPE, VALUE, LATENT, QUERY_LATENT, FF, VOCAB = 64, 4, 8, 8, 16, 24, 40, 96, 48
KEY = NOPE + ROPE
SIZES = {
    "context_length": 128,
    "embedding_length": HIDDEN,
    "block_count": 1,
    "feed_forward_length": FF,
    "vocab_size": VOCAB,
    "rope.dimension_count": ROPE,
    "attention.head_count": HEADS,
    "attention.head_count_kv": HEADS,
    "attention.kv_lora_rank": LATENT,
    "attention.q_lora_rank": QUERY_LATENT,
    "attention.key_length": KEY,
    "attention.value_length": VALUE,
}
SIZES_OF_DEEPSEEK = {
    "leading_dense_block_count": 1,
    "expert_count": 0,
    "expert_shared_count": 1,
    "expert_feed_forward_length": FF,
    "attention.head_count_kv": 1,
    "attention.key_length": LATENT + ROPE,
    "attention.value_length": LATENT,
    "attention.key_length_mla": KEY,
    "attention.value_length_mla": VALUE,
}


def matrices(arch: str) -> dict[str, tuple[int, ...]]:
    """All matrices but the embedding, in numpy order."""
    outside = {"output": (VOCAB, HIDDEN)}
    queries = {"attn_q_a": (QUERY_LATENT, HIDDEN), "attn_q_b": (HEADS * KEY, QUERY_LATENT)}
    keys: dict[str, tuple[int, ...]] = {"attn_kv_b": (HEADS * (NOPE + VALUE), LATENT)}
    gate = {"ffn_gate": (FF, HIDDEN)}
    if arch == "plm":
        outside, queries, gate = {}, {"attn_q": (HEADS * KEY, HIDDEN)}, {}
    if arch == "deepseek2":
        keys = {"attn_k_b": (HEADS, LATENT, NOPE), "attn_v_b": (HEADS, VALUE, LATENT)}
    shared = {
        "attn_kv_a_mqa": (LATENT + ROPE, HIDDEN),
        "attn_output": (HIDDEN, HEADS * VALUE),
        "ffn_up": (FF, HIDDEN),
        "ffn_down": (HIDDEN, FF),
    }
    return outside | {f"blk.0.{name}": shape for name, shape in (queries | keys | shared | gate).items()}


def write_base(path: Path, arch: str) -> Path:
    """A base with latent attention, one layer, F32."""
    writer = GGUFWriter(path, arch)
    for key, value in (SIZES | (SIZES_OF_DEEPSEEK if arch == "deepseek2" else {})).items():
        writer.add_uint32(f"{arch}.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("no_vocab")
    norms = {"attn_norm": HIDDEN, "attn_q_a_norm": QUERY_LATENT, "attn_kv_a_norm": LATENT, "ffn_norm": HIDDEN}
    if arch == "plm":
        del norms["attn_q_a_norm"]
    for name, size in {"output_norm": HIDDEN, **{f"blk.0.{name}": size for name, size in norms.items()}}.items():
        writer.add_tensor(f"{name}.weight", np.ones(size, np.float32))
    rng = np.random.default_rng(0)
    for name, shape in {"token_embd": (VOCAB, HIDDEN), **matrices(arch)}.items():
        values = rng.standard_normal(shape) / np.sqrt(shape[-1])
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("arch", ["deepseek2", "minicpm3", "plm"])
def test_llama_cpp_ignores_what_the_table_says(tmp_path: Path, arch: str) -> None:
    base = write_base(tmp_path / "base.gguf", arch)
    plain = native_rows(base, PROMPTS)
    found = {}
    for name in (name for name, shape in matrices(arch).items() if len(shape) == 2):
        adapter = tmp_path / f"{name}.gguf"
        write_adapter(adapter, base, targets=(short_target(name),), dtype="float32")
        assert read_header(adapter).tensors
        found[name] = np.array_equal(native_rows(base, PROMPTS, adapter), plain)
    assert found == {name: is_ignored(arch, name) for name in found}
    assert set(found.values()) == {True, False}


def test_an_adapter_that_is_ignored_in_part_is_converted_with_a_warning(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base.gguf", "plm")
    write_adapter(tmp_path / "in.gguf", base, targets=("attn_q", "ffn_up"))
    report = convert(tmp_path / "in.gguf", base, tmp_path / "out.gguf")
    assert {target.target: target.ignored for target in report.targets} == {"attn_q": True, "ffn_up": False}
    assert report.warnings == (
        "blk.*.attn_q.weight (layer 0): llama.cpp ignores adapters of this tensor in plm models",
    )


def test_an_adapter_that_is_ignored_as_a_whole_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base.gguf", "plm")
    write_adapter(tmp_path / "in.gguf", base, targets=("attn_q", "attn_kv_b"))
    with pytest.raises(ConversionError, match="ignores adapters of attn_q, attn_kv_b in plm models, so it would do"):
        convert(tmp_path / "in.gguf", base, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
