"""The demo base as GGUF, written with numpy alone; types beyond F32, F16 and Q8_0 go through llama.cpp's quantizer.

Names come from gguf's own map; the q/k row order is the one llama.cpp's rotary embedding expects: pairs of rows side
by side, where transformers keeps the two halves of a head apart.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, get_tensor_name_map, quants
from gguf.constants import MODEL_ARCH

from demo.source import Source, SourceError, read_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIRECT = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
QUANTIZED = {
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
    "q4_k_m": LlamaFileType.MOSTLY_Q4_K_M,
    "q5_k_m": LlamaFileType.MOSTLY_Q5_K_M,
    "q6_k": LlamaFileType.MOSTLY_Q6_K,
}
DTYPES = (*DIRECT, *QUANTIZED)
PRE_TOKENIZER = "gpt-2"


def export(folder: Path, target: Path, dtype: str) -> None:
    """Write `folder` (transformers) to `target` (GGUF) in one of DTYPES; an existing target is replaced whole."""
    source = read_source(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        written = Path(scratch) / target.name
        if dtype in DIRECT:
            write_gguf(source, written, dtype)
        else:
            full = Path(scratch) / "f32.gguf"
            write_gguf(source, full, "f32")
            _quantize(full, written, dtype)
        with written.open("rb") as handle:
            os.fsync(handle.fileno())
        written.replace(target)


def write_gguf(source: Source, target: Path, dtype: str) -> None:
    """Write one of the DIRECT types; vectors stay F32, as llama.cpp's own converter keeps them."""
    tensor_type, file_type = DIRECT[dtype]
    writer = GGUFWriter(target, "llama")
    _add_facts(writer, source.config)
    writer.add_file_type(file_type)
    _add_tokenizer(writer, source)
    for name, value in gguf_tensors(source).items():
        kind = tensor_type if value.ndim > 1 else GGMLQuantizationType.F32
        writer.add_tensor(name, quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_tensors(source: Source) -> dict[str, NDArray[np.float32]]:
    """Every tensor under its GGUF name; the tied output matrix is left out, llama.cpp takes the embedding for it."""
    config = source.config
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    tensors = {}
    for name, value in source.tensors.items():
        gguf_name = names.get_name(name, try_suffixes=(".weight",))
        if gguf_name is None:
            raise SourceError(f"tensor {name!r} has no counterpart in GGUF's llama architecture")
        if name.endswith("q_proj.weight"):
            value = pair_rows(value, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            value = pair_rows(value, config["num_key_value_heads"])
        tensors[gguf_name] = np.ascontiguousarray(value)
    return tensors


def pair_rows(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Order the rows of each head [d, n_in] as 0, d/2, 1, d/2+1, ...: a rotated pair side by side."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _add_facts(writer: GGUFWriter, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    writer.add_name("edgelora demo")
    writer.add_license("apache-2.0")
    writer.add_description("A tiny demonstration model made from generated text; see models/README.md.")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(float(config["rope_parameters"]["rope_theta"]))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_sampling_temp(0.0)  # so small a model is best taken at its word


def _add_tokenizer(writer: GGUFWriter, source: Source) -> None:
    model, config = source.tokenizer["model"], source.config
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    special = {token["content"] for token in source.tokenizer["added_tokens"]}
    if len(tokens) != config["vocab_size"]:
        raise SourceError(f"the tokenizer has {len(tokens)} tokens, the model's vocabulary {config['vocab_size']}")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(source.chat_template)


def _quantize(full: Path, target: Path, dtype: str) -> None:
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = int(QUANTIZED[dtype])
    parameters.nthread = 2
    if llama_cpp.llama_model_quantize(os.fsencode(full), os.fsencode(target), parameters) != 0:
        raise SourceError(f"llama.cpp could not quantize the base to {dtype}; its log above says why")
