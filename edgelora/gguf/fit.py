"""Does this adapter fit this base? Everything that llama.cpp refuses, crashes on or does not check.

llama.cpp reports the first problem only, some only by aborting the process, and a few not at all (expert counts,
tied embeddings), so all of it is checked here before a native call. The rules follow src/llama-adapter.cpp, and
src/llama-graph.cpp for how the factors are used.
"""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING

from edgelora.errors import AdapterError, AdapterMismatchError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.ggml_types import ValueType
from edgelora.gguf.header import Header, MetadataArray, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

USABLE_TYPES = frozenset(
    {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"}
)
"""Types that an adapter's factors may have: those that ggml can multiply with on every backend."""

EMBEDDING = "token_embd.weight"
_ALORA_KEY = "adapter.alora.invocation_tokens"
_ALPHA_KEY = "adapter.lora.alpha"
_SHOWN_PROBLEMS = 12
_BLOCK = re.compile(r"\bblk\.(\d+)\.")


def check_fit(adapter: Header, base: Header) -> list[str]:
    """Every reason why ``adapter`` cannot be used with ``base``; empty where it fits.

    Looks at headers only; see :func:`edgelora.gguf.values.check_values` for the numbers themselves.
    """
    return [*_metadata_problems(adapter, base), *_tensor_problems(adapter.tensors, base.tensors)]


def require_fit(adapter: Header, base: Header) -> None:
    """Raise unless the adapter fits.

    AdapterError where the file is no LoRA adapter at all, AdapterMismatchError with all problems where it is one,
    but not for this base.
    """
    if adapter.metadata.get("general.type") != "adapter" or adapter.metadata.get("adapter.type") != "lora":
        raise AdapterError(f"{adapter.path}: this GGUF is not a LoRA adapter")
    problems = by_kind(check_fit(adapter, base))
    if problems:
        shown = [f"\n  - {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            shown.append(f"\n  - and {len(problems) - _SHOWN_PROBLEMS} more")
        raise AdapterMismatchError(
            f"{adapter.path} does not fit the base {base.path}:{''.join(shown)}",
            "Use the base that it was trained on, or convert it again for this base.",
            problems,
        )


def by_kind(problems: list[str]) -> list[str]:
    """Problems with the same in many layers as one that names the layers."""
    layers: dict[str, list[int]] = {}
    for problem in problems:
        found = layers.setdefault(_BLOCK.sub("blk.*.", problem), [])
        found += map(int, _BLOCK.findall(problem)[:1])
    return [kind + _in_layers(found) for kind, found in layers.items()]


def _in_layers(layers: list[int]) -> str:
    if not layers:
        return ""
    first, last, count = min(layers), max(layers), len(set(layers))
    if count == 1:
        return f" (layer {first})"
    return f" (layers {first} to {last})" if count == last - first + 1 else f" ({count} layers from {first} to {last})"


def nearest(name: str, tensors: Mapping[str, TensorInfo]) -> str:
    """A phrase that names the base tensors most like ``name``."""
    block = name[: name.find(".", len("blk.")) + 1] if name.startswith("blk.") else ""
    same_block = [candidate for candidate in tensors if candidate.startswith(block)]
    close = difflib.get_close_matches(name, same_block or tensors, n=3, cutoff=0.5)
    return f" (nearest: {', '.join(close)})" if close else ""


def _metadata_problems(adapter: Header, base: Header) -> Iterator[str]:
    for key, expected in (("general.type", "adapter"), ("adapter.type", "lora")):
        if adapter.metadata.get(key) != expected:
            yield f"{key} must be the string {expected!r}, not {adapter.metadata.get(key)!r}"
    ours, theirs = (header.metadata.get("general.architecture") for header in (adapter, base))
    if ours != theirs or not isinstance(ours, str):
        yield f"it is for the architecture {ours!r}, the base is {theirs!r}"
    yield from _alpha_problems(adapter)
    tokens = adapter.metadata.get(_ALORA_KEY)
    if tokens is not None and not (
        isinstance(tokens, MetadataArray) and tokens.element_type is ValueType.UINT32 and len(tokens)
    ):
        yield f"{_ALORA_KEY} must be an array of UINT32"


def _alpha_problems(adapter: Header) -> Iterator[str]:
    alpha = adapter.metadata.get(_ALPHA_KEY, 0.0)
    kind = adapter.value_types.get(_ALPHA_KEY, ValueType.FLOAT32)
    if kind is not ValueType.FLOAT32:
        yield f"{_ALPHA_KEY} is stored as {kind.name}; llama.cpp aborts unless it is FLOAT32"
    elif isinstance(alpha, float) and not math.isfinite(alpha):
        yield f"{_ALPHA_KEY} is {alpha}"


def _tensor_problems(factors: Mapping[str, TensorInfo], base: Mapping[str, TensorInfo]) -> Iterator[str]:
    targets: dict[str, None] = {}
    for name, info in factors.items():
        if not name.endswith((LORA_A, LORA_B)):
            # llama.cpp tolerates and ignores norms beside the pairs
            if not name.endswith("_norm.weight"):
                yield f"tensor {name!r} is neither a {LORA_A} nor a {LORA_B}"
            continue
        targets[name[: -len(LORA_A)]] = None
        if info.type_name not in USABLE_TYPES:
            yield f"tensor {name!r} has the type {info.type_name}, which cannot be multiplied with"
    for target in targets:
        yield from _target_problems(target, factors.get(target + LORA_A), factors.get(target + LORA_B), base)


def _target_problems(
    target: str, a: TensorInfo | None, b: TensorInfo | None, base: Mapping[str, TensorInfo]
) -> Iterator[str]:
    weight = base.get(target)
    if a is None or b is None:
        yield f"{target} has no {LORA_A if a is None else LORA_B}"
    elif weight is None:
        yield f"{target} does not exist in the base{nearest(target, base)}"
    elif target == EMBEDDING:
        yield from _embedding_problems(a, b, weight, base)
    else:
        yield from _pair_problems(target, a, b, weight)
        yield from _sidecar_problems(target, weight, base)


def _pair_problems(target: str, a: TensorInfo, b: TensorInfo, weight: TensorInfo) -> Iterator[str]:
    """A is [n_in, rank(, n_expert)] and B is [rank, n_out(, n_expert)] in GGUF order."""
    if not len(a.shape) == len(b.shape) == len(weight.shape) in (2, 3):
        yield f"{target}: A, B and base must all be matrices or all be stacks, not {_shapes(a, b, weight)}"
        return
    if a.shape[0] != weight.shape[0]:
        yield f"{target}: A takes {a.shape[0]} inputs, the base {weight.shape[0]}"
    if b.shape[1] != weight.shape[1]:
        yield f"{target}: B gives {b.shape[1]} outputs, the base {weight.shape[1]}"
    if a.shape[1] != b.shape[0]:
        yield f"{target}: A has rank {a.shape[1]}, B rank {b.shape[0]}"
    if not a.shape[2:] == b.shape[2:] == weight.shape[2:]:
        yield f"{target}: the numbers of experts differ: {_shapes(a, b, weight)}"


def _embedding_problems(
    a: TensorInfo, b: TensorInfo, weight: TensorInfo, base: Mapping[str, TensorInfo]
) -> Iterator[str]:
    """Embeddings are looked up, so A is stored transposed: [rank, n_vocab]; B is [rank, n_embd]."""
    if "output.weight" not in base:
        yield f"{EMBEDDING} is also the output matrix of this base; llama.cpp aborts on an adapter for it"
    n_embd, n_vocab = weight.shape[:2]
    if len(a.shape) != 2 or len(b.shape) != 2 or (a.shape[1], b.shape[1]) != (n_vocab, n_embd):
        yield f"{EMBEDDING}: expected A [rank, {n_vocab}] and B [rank, {n_embd}], not {_shapes(a, b, weight)}"
    elif a.shape[0] != b.shape[0]:
        yield f"{EMBEDDING}: A has rank {a.shape[0]}, B rank {b.shape[0]}"


def _sidecar_problems(target: str, weight: TensorInfo, base: Mapping[str, TensorInfo]) -> Iterator[str]:
    # build_ffn in llama-graph.cpp asserts that a scaled feed-forward tensor has no adapter
    if weight.type_name == "NVFP4" and "ffn" in target and target.replace(".weight", ".scale") in base:
        yield f"{target}: llama.cpp aborts on an adapter for a scaled NVFP4 feed-forward tensor"


def _shapes(a: TensorInfo, b: TensorInfo, weight: TensorInfo) -> str:
    return f"A {list(a.shape)}, B {list(b.shape)}, base {list(weight.shape)}"
