"""What edgelora needs to know about a base or an adapter, taken from the GGUF header alone.

Metadata keys are those of gguf-py/gguf/constants.py and src/llama-arch.cpp in llama.cpp.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.errors import AdapterError, GGUFError
from edgelora.gguf.baked_in import baked_into
from edgelora.gguf.ggml_types import FILE_TYPES, ValueType
from edgelora.gguf.header import Header, MetadataArray, TensorInfo
from edgelora.gguf.split import stem_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgelora.types import AttestedAdapter

SAMPLING_PREFIX = "general.sampling."
_NO_BASE = "A base is a whole model; an adapter is named with --adapter."
MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
LORA_A = ".lora_a"
LORA_B = ".lora_b"


@dataclass(frozen=True)
class BaseFacts:
    """A base model. Sizes that a GGUF may give per layer (heads, feed-forward) are one value for each layer."""

    path: Path
    arch: str
    name: str
    names: tuple[str, ...]  # all that the file says it is, for comparison with what an adapter was trained on
    quantization: str  # such as Q4_K_M
    n_layers: int
    n_embd: int
    n_head: tuple[int, ...]
    n_kv: tuple[int, ...]
    n_ff: tuple[int, ...]
    head_dim: int
    n_vocab: int
    n_ctx_train: int
    tied: bool  # the output matrix is the token embedding
    n_params: int
    file_size: int
    chat_template: str | None = field(repr=False)
    bos_token_id: int | None
    eos_token_id: int | None
    eot_token_id: int | None
    sampling: Mapping[str, float | int | str] = field(repr=False)  # hints: "temp" -> 0.7
    end_tokens: tuple[str, ...]  # texts of those that adapters in its weights brought, beside its own
    system_prompt: str | None = field(repr=False)  # likewise
    baked: tuple[AttestedAdapter, ...]  # adapters in its weights, where it is a merged file
    tensors: Mapping[str, TensorInfo] = field(repr=False)

    @classmethod
    def of(cls, header: Header) -> BaseFacts:
        """Facts of a base. Raises GGUFError where the file is not a text model or lacks what every model states."""
        arch = _model_arch(header)
        n_layers = _n_layers(header, arch)
        n_embd = _size(header, f"{arch}.embedding_length")
        n_head = _per_layer(header, f"{arch}.attention.head_count", n_layers, 0)
        widest = max(n_head, default=0)
        return cls(
            path=header.path,
            arch=arch,
            name=header.get("general.name", "") or stem_of(header.path),
            names=names_of(header),
            quantization=_quantization(header),
            n_layers=n_layers,
            n_embd=n_embd,
            n_head=n_head,
            n_kv=_per_layer(header, f"{arch}.attention.head_count_kv", n_layers, widest),
            n_ff=_per_layer(header, f"{arch}.feed_forward_length", n_layers, 0),
            head_dim=header.get(f"{arch}.attention.key_length", n_embd // widest if widest else 0),
            n_vocab=_n_vocab(header, arch),
            n_ctx_train=header.get(f"{arch}.context_length", 0),
            tied="output.weight" not in header.tensors,
            n_params=sum(info.n_elements for info in header.tensors.values()),
            file_size=header.file_size,
            chat_template=header.get("tokenizer.chat_template", "") or None,
            bos_token_id=_token_id(header, "bos"),
            eos_token_id=_token_id(header, "eos"),
            eot_token_id=_token_id(header, "eot"),
            sampling=_sampling(header),
            end_tokens=_texts(header, "edgelora.eos_tokens"),
            system_prompt=header.get("edgelora.system_prompt", "") or None,
            baked=baked_into(header),
            tensors=header.tensors,
        )


@dataclass(frozen=True)
class AdapterFacts:
    """A LoRA adapter. Mappings are keyed by the name of the base tensor, such as ``blk.0.attn_q.weight``.

    A ``scale`` is what llama.cpp multiplies the user's scale with: alpha / rank, or 1 where alpha is missing or 0
    (``llama_adapter_lora_weight::get_scale``).
    """

    path: Path
    arch: str
    name: str
    base_name: str
    alpha: float
    ranks: Mapping[str, int]
    scales: Mapping[str, float]
    targets: tuple[str, ...]  # short names, such as attn_q, in order of appearance
    dtype: str  # such as F16, or F16/F32 where mixed
    n_params: int
    file_size: int
    chat_template: str | None = field(repr=False)
    example_prompt: str | None
    eos_tokens: tuple[str, ...]  # texts of the tokens that end its answers, beside the base's own
    system_prompt: str | None
    is_alora: bool
    tensors: Mapping[str, TensorInfo] = field(repr=False)

    @property
    def max_rank(self) -> int:
        """The largest rank of any adapted tensor; 0 for an empty adapter."""
        return max(self.ranks.values(), default=0)

    @classmethod
    def of(cls, header: Header) -> AdapterFacts:
        """Facts of an adapter. Raises AdapterError where the file is a GGUF but not a LoRA adapter."""
        if header.metadata.get("general.type") != "adapter" or header.metadata.get("adapter.type") != "lora":
            raise AdapterError(f"{header.path}: this GGUF is not a LoRA adapter", "Give it as the base instead?")
        alpha = header.get("adapter.lora.alpha", 0.0)
        ranks = {
            name.removesuffix(LORA_B): info.shape[0] for name, info in header.tensors.items() if name.endswith(LORA_B)
        }
        return cls(
            path=header.path,
            arch=header.get("general.architecture", ""),
            name=header.get("general.name", "") or header.path.stem,
            base_name=header.get("general.base_model.0.name", ""),
            alpha=alpha,
            ranks=ranks,
            scales={name: alpha / rank if alpha else 1.0 for name, rank in ranks.items()},
            targets=tuple(dict.fromkeys(map(short_target, ranks))),
            dtype="/".join(sorted({info.type_name for info in header.tensors.values()})),
            n_params=sum(info.n_elements for info in header.tensors.values()),
            file_size=header.file_size,
            chat_template=header.get("tokenizer.chat_template", "") or None,
            example_prompt=header.get("edgelora.example_prompt", "") or None,
            eos_tokens=_texts(header, "edgelora.eos_tokens"),
            system_prompt=header.get("edgelora.system_prompt", "") or None,
            is_alora="adapter.alora.invocation_tokens" in header.metadata,
            tensors=header.tensors,
        )


def names_of(header: Header) -> tuple[str, ...]:
    """What a model is called, best first. Its ``general.base_model`` is not it, but what it was made of."""
    parts = [_text(header, f"general.{key}") for key in ("basename", "size_label", "finetune", "version")]
    keys = ("general.source.huggingface.repository", "general.source.repo_url", "general.repo_url")
    addresses = [_text(header, key) for key in keys]
    return tuple(
        filter(None, [_text(header, "general.name"), " ".join(filter(None, parts)), *addresses, stem_of(header.path)])
    )


def short_target(tensor: str) -> str:
    """``blk.0.attn_q.weight`` is ``attn_q``; names outside blocks only lose ``.weight``."""
    return re.sub(r"^blk\.\d+\.", "", tensor).removesuffix(".weight")


def layer_of(tensor: str) -> int:
    """The number of the block that a tensor belongs to; -1 outside of blocks."""
    block = re.match(r"blk\.(\d+)\.", tensor)
    return int(block[1]) if block else -1


def _model_arch(header: Header) -> str:
    kind = header.get("general.type", "model")
    if kind != "model":
        raise GGUFError(f"{header.path}: this GGUF holds {kind!r}, not a base model", _NO_BASE)
    arch = header.get("general.architecture", "")
    if not arch:
        raise GGUFError(f"{header.path}: general.architecture is missing, so this is no model llama.cpp can load")
    return arch


def _text(header: Header, key: str) -> str:
    value = header.metadata.get(key)
    return value if isinstance(value, str) else ""


def _texts(header: Header, key: str) -> tuple[str, ...]:
    value = header.metadata.get(key)
    if isinstance(value, MetadataArray) and value.element_type is ValueType.STRING:
        return tuple(value)
    return ()


def _size(header: Header, key: str) -> int:
    value = header.get(key, 0)
    if value <= 0:
        raise GGUFError(f"{header.path}: {key} is missing or not positive, so this is no language model")
    return value


def _n_layers(header: Header, arch: str) -> int:
    value = _size(header, f"{arch}.block_count")
    if value > MAX_LAYERS:
        raise GGUFError(f"{header.path}: {value} layers are more than llama.cpp can hold ({MAX_LAYERS})")
    return value


def _per_layer(header: Header, key: str, n_layers: int, default: int) -> tuple[int, ...]:
    value = header.metadata.get(key, default)
    if isinstance(value, MetadataArray):
        counts = tuple(value)
        if len(counts) < n_layers or not all(type(count) is int for count in counts):
            raise GGUFError(f"{header.path}: {key} must hold one whole number for each of the {n_layers} layers")
        return counts[:n_layers]
    if type(value) is not int:
        raise GGUFError(f"{header.path}: {key} must be a whole number")
    return (value,) * n_layers


def _n_vocab(header: Header, arch: str) -> int:
    embedding = header.tensors.get("token_embd.weight")
    if embedding is not None and len(embedding.shape) == 2:
        return embedding.shape[1]
    return header.get(f"{arch}.vocab_size", 0)


def _token_id(header: Header, role: str) -> int | None:
    value = header.get(f"tokenizer.ggml.{role}_token_id", -1)
    return value if value >= 0 else None


def _quantization(header: Header) -> str:
    named = FILE_TYPES.get(header.get("general.file_type", -1))
    if named:
        return named
    sizes: Counter[str] = Counter()
    for info in header.tensors.values():
        sizes[info.type_name] += info.nbytes
    return sizes.most_common(1)[0][0] if sizes else "empty"


def _sampling(header: Header) -> dict[str, float | int | str]:
    return {
        key.removeprefix(SAMPLING_PREFIX): value
        for key, value in header.metadata.items()
        if key.startswith(SAMPLING_PREFIX) and not isinstance(value, MetadataArray)
    }
