"""Sorts the tensors of a PEFT file into pairs of factors, by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora_convert.peft_config import REFUSED_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgelora_convert.problems import Problems
    from edgelora_convert.tensor_file import StoredTensor

# PEFT saves `<module>.lora_A.weight`; other tools leave the adapter's name in it, as `.lora_A.default.weight`.
_FACTOR = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(?:\.[^.]+)?\.weight$")
_EMBEDDING_FACTOR = re.compile(r"^(?P<module>.+)\.lora_embedding_(?P<side>[AB])(?:\.[^.]+)?$")

_COPY_OF_BASE = re.compile(r"\.base_layer\.(weight|bias)$")
"""What save_embedding_layers adds: the unchanged weight of an adapted layer."""

_SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\.lora_magnitude_vector(\.|$)"), "use_dora"),
    (re.compile(r"\.lora_B(\.[^.]+)?\.bias$"), "lora_bias"),
    (re.compile(r"\.trainable_tokens_\w+"), "trainable_token_indices"),
    (re.compile(r"\.base_layer\.lora_[AB]\."), "target_parameters"),
)
"""Names that show a feature even where the configuration does not mention it."""

_WRAPPERS = re.compile(
    r"^(?:base_model\.model\.|base_model\.|model\.base_model\.model\.|module\.|_orig_mod\.|_fsdp_wrapped_module\."
    r"|transformer_module\.)"
)


@dataclass(frozen=True)
class Pair:
    """The factors of one module: A [rank, n_in] and B [n_out, rank]; of an embedding, n_in is the vocabulary."""

    module: str
    a: StoredTensor
    b: StoredTensor
    is_embedding: bool

    @property
    def rank(self) -> int:
        """The rank that is in the file."""
        return self.b.shape[1]


def pair_factors(tensors: Mapping[str, StoredTensor], problems: Problems) -> list[Pair]:
    """All complete, well-shaped pairs, in the file's order; whatever else the file holds goes to ``problems``."""
    sides: dict[tuple[str, bool], dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        match = _FACTOR.match(name) or _EMBEDDING_FACTOR.match(name)
        if match is None or _sign(name):
            _refuse_other(name, problems)
            continue
        key = unwrapped(match["module"]), match.re is _EMBEDDING_FACTOR
        if match["side"] in sides.setdefault(key, {}):
            problems.add(key[0], f"the file holds two lora_{match['side']} for it; save a single adapter")
        sides[key][match["side"]] = tensor
    complete = [_pair(module, is_embedding, found, problems) for (module, is_embedding), found in sides.items()]
    return [pair for pair in complete if pair is not None]


def unwrapped(name: str) -> str:
    """A module path without the prefixes that PEFT, torch.compile and distributed training put before it."""
    while match := _WRAPPERS.match(name):
        name = name[match.end() :]
    return name


def _sign(name: str) -> str:
    return next((field for pattern, field in _SIGNS if pattern.search(name)), "")


def _refuse_other(name: str, problems: Problems) -> None:
    field = _sign(name)
    if field:
        problems.refuse(field, REFUSED_FIELDS[field])
    elif _COPY_OF_BASE.search(name):
        return
    elif name.endswith((".weight", ".bias")):
        problems.refuse("modules_to_save", f"{REFUSED_FIELDS['modules_to_save']}: {_example(name)}")
    else:
        problems.add(unwrapped(name), "this tensor belongs to no LoRA pair")


def _example(name: str) -> str:
    return f"the file holds {unwrapped(name)}"


def _pair(module: str, is_embedding: bool, found: Mapping[str, StoredTensor], problems: Problems) -> Pair | None:
    missing = [side for side in "AB" if side not in found]
    if missing:
        problems.add(module, f"its lora_{missing[0]} is missing")
        return None
    pair = Pair(module, found["A"], found["B"], is_embedding)
    wrong = list(_shape_problems(pair))
    for problem in wrong:
        problems.add(module, problem)
    return None if wrong else pair


def _shape_problems(pair: Pair) -> Iterable[str]:
    for tensor in (pair.a, pair.b):
        if not tensor.is_float:
            yield f"its values are {tensor.dtype}; F32, F16, BF16 or F64 can be converted"
    a, b = pair.a.shape, pair.b.shape
    if len(a) != 2 or len(b) != 2:
        yield f"A {list(a)} and B {list(b)} must be matrices"
    elif a[0] != b[1]:
        yield f"A has rank {a[0]}, B rank {b[1]}"
    elif 0 in (*a, *b):
        yield f"A {list(a)} or B {list(b)} is empty"
