"""An adapter that is a GGUF already: read back into updates, so that it can be checked, rescaled, retyped or joined.

The format is that of src/llama-adapter.cpp in llama.cpp: NAME.lora_a is [rank, n_in] and NAME.lora_b [n_out, rank], of
experts with their number before; of the token embedding, lora_a is stored transposed. The scale is alpha / rank, or 1
where alpha is missing or 0 (``llama_adapter_lora_weight::get_scale``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgelora.errors import GGUFError
from edgelora.gguf.data import tensor_rows
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.gguf.fit import EMBEDDING, USABLE_TYPES
from edgelora.gguf.header import Header, MetadataArray, TensorInfo
from edgelora.gguf.reader import read_header
from edgelora_convert.limits import MAX_EXPERTS, MAX_FACTOR
from edgelora_convert.problems import NO_ADAPTER
from edgelora_convert.source import FolderTexts, Source
from edgelora_convert.sources.end_tokens import MAX_END_TOKENS
from edgelora_convert.update import Computed, Kind, Update

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from edgelora_convert.problems import Problems
    from edgelora_convert.sources.find import GgufFile

_NORM = "_norm.weight"
_HUB = "https://huggingface.co/"


def read_gguf(found: GgufFile, problems: Problems, warnings: Problems) -> Source:
    """What a GGUF adapter holds. Raises ConversionError where the file is damaged or no adapter."""
    try:
        header = read_header(found.path)
        _require_adapter(header, problems)
        return Source(
            name=header.get("general.name", "") or found.path.stem,
            files=(found.path,),
            updates=tuple(_updates(header, _alpha(header, problems), problems, warnings)),
            base_name=_base_name(header),
            naming="gguf",
            arch=header.get("general.architecture", ""),
            texts=_texts(header),
            invocation_tokens=_whole_numbers(header, "adapter.alora.invocation_tokens"),
        )
    except GGUFError as error:
        problems.stop("source", error.message, error.hint)


def _require_adapter(header: Header, problems: Problems) -> None:
    if header.metadata.get("general.type", "model") == "model":
        problems.stop("source", "it is a GGUF model, not an adapter; a model is given as the base", NO_ADAPTER)
    for key, expected in (("general.type", "adapter"), ("adapter.type", "lora")):
        if header.metadata.get(key) != expected:
            problems.stop("source", f"it is a GGUF, but no LoRA adapter: its {key} is not {expected!r}")


def _alpha(header: Header, problems: Problems) -> float:
    """alpha, of any type that holds a number; llama.cpp takes FLOAT32 only, which the written file will have."""
    alpha = header.get("adapter.lora.alpha", 0.0)
    if not abs(alpha) <= MAX_FACTOR:
        problems.refuse("alpha", f"its adapter.lora.alpha is {alpha}")
    return alpha


def _updates(header: Header, alpha: float, problems: Problems, warnings: Problems) -> Iterator[Update]:
    targets = dict.fromkeys(name[: -len(LORA_A)] for name in header.tensors if name.endswith((LORA_A, LORA_B)))
    for name in header.tensors:
        if name.endswith(_NORM):
            warnings.add(name, "llama.cpp ignores a norm in an adapter, so it is left out")
        elif not name.endswith((LORA_A, LORA_B)):
            problems.add(name, "this tensor belongs to no LoRA pair")
    if not targets and not problems:
        problems.refuse("empty", "it holds no LoRA pairs")
    for target in targets:
        a, b = header.tensors.get(target + LORA_A), header.tensors.get(target + LORA_B)
        if a is None or b is None:
            problems.add(target, f"its {LORA_A if a is None else LORA_B} is missing")
        else:
            yield from _updates_of(header, target, a, b, alpha, problems)


def _updates_of(
    header: Header, target: str, a: TensorInfo, b: TensorInfo, alpha: float, problems: Problems
) -> Iterator[Update]:
    wrong = list(_wrong(target, a, b))
    for problem in wrong:
        problems.add(target, problem)
    if wrong:
        return
    rank = b.shape[0]
    scale = alpha / rank if alpha else 1.0
    if target == EMBEDDING:
        yield Update(target, _matrix(header, a, transposed=True), _matrix(header, b), scale, Kind.EMBEDDING)
    elif len(b.shape) == 2:
        yield Update(target, _matrix(header, a), _matrix(header, b), scale)
    else:
        for expert in range(b.shape[2]):
            a_of, b_of = (_matrix(header, _slice(info, expert)) for info in (a, b))
            yield Update(target, a_of, b_of, scale, expert=expert)


def _wrong(target: str, a: TensorInfo, b: TensorInfo) -> Iterator[str]:
    """Shapes are in GGUF order: A [n_in, rank(, experts)], of the embedding [rank, n_vocab]; B [rank, n_out(, ...)]."""
    for info in (a, b):
        if info.type_name not in USABLE_TYPES:
            yield f"{info.name} has the type {info.type_name}, which no adapter can have"
    stacked = target != EMBEDDING and len(b.shape) == 3
    rank_of_a = a.shape[0] if target == EMBEDDING else a.shape[-2 if stacked else -1]
    if len(a.shape) != len(b.shape) or len(b.shape) != (3 if stacked else 2) or a.shape[2:] != b.shape[2:]:
        yield f"A {list(a.shape)} and B {list(b.shape)} do not belong together"
    elif rank_of_a != b.shape[0]:
        yield f"A has rank {rank_of_a}, B rank {b.shape[0]}"
    elif stacked and b.shape[2] > MAX_EXPERTS:
        yield f"it has {b.shape[2]} experts; llama.cpp can hold {MAX_EXPERTS}"


def _slice(info: TensorInfo, expert: int) -> TensorInfo:
    """One expert of a stack: a matrix of its own, in consecutive bytes."""
    nbytes = info.nbytes // info.shape[2]
    return replace(info, shape=info.shape[:2], offset=info.offset + expert * nbytes, nbytes=nbytes)


def _matrix(header: Header, info: TensorInfo, *, transposed: bool = False) -> Computed:
    def load() -> NDArray[np.float32]:
        values = tensor_rows(header, info, range(info.shape[1]))
        return np.ascontiguousarray(values.T) if transposed else values

    return Computed(info.shape if transposed else info.shape[::-1], load)


def _base_name(header: Header) -> str:
    """The hub id of the model that it was trained on, else its name."""
    url = header.get("general.base_model.0.repo_url", "")
    return url.removeprefix(_HUB) if url.startswith(_HUB) else header.get("general.base_model.0.name", "")


def _texts(header: Header) -> FolderTexts:
    return FolderTexts(
        chat_template=header.get("tokenizer.chat_template", "") or None,
        example_prompt=header.get("edgelora.example_prompt", "") or None,
        eos_tokens=tuple(text for text in _array(header, "edgelora.eos_tokens") if isinstance(text, str))[
            :MAX_END_TOKENS
        ],
        system_prompt=header.get("edgelora.system_prompt", "") or None,
    )


def _whole_numbers(header: Header, key: str) -> tuple[int, ...]:
    return tuple(value for value in _array(header, key) if type(value) is int)


def _array(header: Header, key: str) -> tuple[object, ...]:
    values = header.metadata.get(key)
    return tuple(values) if isinstance(values, MetadataArray) else ()
