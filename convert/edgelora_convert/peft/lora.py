"""PEFT's LORA type: sorts the tensors of a file into pairs of factors, by their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgelora_convert.peft.config import REFUSED_FIELDS, LoraConfig
from edgelora_convert.update import Kind, Update

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgelora_convert.problems import Problems
    from edgelora_convert.storage.tensor_file import StoredTensor

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


def lora_updates(
    config: LoraConfig, tensors: Mapping[str, StoredTensor], problems: Problems, warnings: Problems
) -> list[Update]:
    """All complete, well-shaped pairs, in the file's order; whatever else the file holds goes to ``problems``."""
    sides: dict[tuple[str, Kind], dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        match = _FACTOR.match(name) or _EMBEDDING_FACTOR.match(name)
        if match is None or _sign(name):
            _refuse_other(name, problems)
            continue
        key = unwrapped(match["module"]), Kind.EMBEDDING if match.re is _EMBEDDING_FACTOR else Kind.LINEAR
        if match["side"] in sides.setdefault(key, {}):
            problems.add(key[0], f"the file holds two lora_{match['side']} for it; save a single adapter")
        sides[key][match["side"]] = tensor
    complete = [_update(config, module, kind, found, problems) for (module, kind), found in sides.items()]
    updates = [update for update in complete if update is not None]
    for update in updates:
        _compare_rank(update, config, warnings)
    return updates


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


def _update(
    config: LoraConfig, module: str, kind: Kind, found: Mapping[str, StoredTensor], problems: Problems
) -> Update | None:
    missing = [side for side in "AB" if side not in found]
    if missing:
        problems.add(module, f"its lora_{missing[0]} is missing")
        return None
    wrong = list(_shape_problems(found["A"], found["B"]))
    for problem in wrong:
        problems.add(module, problem)
    if wrong:
        return None
    return Update(module, found["A"], found["B"], config.scale_of(module, found["B"].shape[1]), kind)


def _compare_rank(update: Update, config: LoraConfig, warnings: Problems) -> None:
    configured = config.rank_of(update.module)
    if configured != update.rank:
        warnings.add(
            update.module, f"the configuration says rank {configured}, the weights have {update.rank}, which counts"
        )
    if update.rank > min(update.a.shape[1], update.b.shape[0]):
        warnings.add(update.module, f"its rank {update.rank} is larger than the matrix can use")


def _shape_problems(stored_a: StoredTensor, stored_b: StoredTensor) -> Iterable[str]:
    for tensor in (stored_a, stored_b):
        if not tensor.is_float:
            yield f"its values are {tensor.dtype}; F32, F16, BF16 or F64 can be converted"
    a, b = stored_a.shape, stored_b.shape
    if len(a) != 2 or len(b) != 2:
        yield f"A {list(a)} and B {list(b)} must be matrices"
    elif a[0] != b[1]:
        yield f"A has rank {a[0]}, B rank {b[1]}"
    elif 0 in (*a, *b):
        yield f"A {list(a)} or B {list(b)} is empty"
