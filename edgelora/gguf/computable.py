"""Would llama.cpp abort on this base? Everything in its header that ends the process instead of being refused.

The rules are assertions of llama.cpp (``load_hparams`` in src/llama-model.cpp, ``load`` in src/llama-vocab.cpp) and of
its CPU kernels (ggml-cpu/binary-ops.cpp, ops.cpp); they were found by giving mutated bases to an engine.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelora.errors import GGUFError
from edgelora.gguf.ggml_types import ValueType
from edgelora.gguf.header import Header, MetadataArray, TensorInfo

NO_WEIGHTS = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"})
"""Types that no kernel multiplies with; llama.cpp has them for other uses."""

MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS, src/llama-hparams.h
ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")

_SHOWN = 4


def require_computable(header: Header) -> None:
    """Raise GGUFError, with every reason, for a base that would abort the process."""
    problems = [*_type_problems(header), *_expert_problems(header), *_other_problems(header)]
    if problems:
        shown = "".join(f"\n  - {problem}" for problem in problems[:_SHOWN])
        more = f"\n  - and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise GGUFError(
            f"{header.path}: llama.cpp cannot compute with this base:{shown}{more}", "Download it or make it again."
        )


def _type_problems(header: Header) -> Iterator[str]:
    for info in header.tensors.values():
        if info.type_name != "F32" and _is_vector(info):
            yield f"tensor {info.name!r} is {info.type_name}; norms, biases and other vectors must be F32"
        elif info.type_name in NO_WEIGHTS and not _is_table(info):
            yield f"tensor {info.name!r} is {info.type_name}, which holds no weights"


def _is_vector(info: TensorInfo) -> bool:
    return info.n_elements == info.shape[0] or info.name.endswith((".bias", "_norm.weight"))


def _is_table(info: TensorInfo) -> bool:
    return info.type_name == "I32" and "tid2eid" in info.name  # which experts a token goes to (deepseek4)


def _expert_problems(header: Header) -> Iterator[str]:
    count, groups, groups_used = (
        _number(header, f"expert_{key}") for key in ("count", "group_count", "group_used_count")
    )
    used = _most(header, "expert_used_count")
    if count > MAX_EXPERTS or used > count or (count and not used):
        yield f"{used} of {count} experts are used for a token"
    if groups and groups >= count:
        yield f"{count} experts are in {groups} groups"
    elif groups > 1 and (count % groups or not 0 < groups_used < groups):
        yield f"{groups_used} of {groups} groups of {count} experts are used"


def _other_problems(header: Header) -> Iterator[str]:
    scaling = header.metadata.get(f"{_arch(header)}.rope.scaling.type", "none")
    if isinstance(scaling, str) and scaling not in ROPE_SCALINGS:
        yield f"rope.scaling.type is {scaling!r}, none of {', '.join(ROPE_SCALINGS)}"
    for key in ("layer_norm_epsilon", "layer_norm_rms_epsilon", "group_norm_epsilon"):
        epsilon = header.metadata.get(f"{_arch(header)}.attention.{key}", 0.0)
        if isinstance(epsilon, float) and not epsilon >= 0:
            yield f"attention.{key} is {epsilon}"
    if _number(header, "nextn_predict_layers") > _number(header, "block_count"):
        yield "it predicts with more layers than it has"
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, MetadataArray) and tokens.element_type is ValueType.STRING:
        read = [token for token in map(_as_c_string, tokens.encoded()) if token]  # empty ones get names of their own
        if len(set(read)) < len(read):
            yield "its vocabulary has the same token twice"


def _as_c_string(token: bytes) -> bytes:
    return token.partition(b"\x00")[0]


def _arch(header: Header) -> str:
    return header.get("general.architecture", "")


def _number(header: Header, key: str) -> int:
    value = header.metadata.get(f"{_arch(header)}.{key}", 0)
    return value if isinstance(value, int) else 0  # llama.cpp refuses another kind


def _most(header: Header, key: str) -> int:
    value = header.metadata.get(f"{_arch(header)}.{key}", 0)
    values = value if isinstance(value, MetadataArray) else [value]
    return max((value for value in values if isinstance(value, int)), default=0)
