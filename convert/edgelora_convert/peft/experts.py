"""LORA on bare parameters (``target_parameters``), such as the weights of all experts in one tensor.

peft/tuners/lora/layer.py, ParamWrapper: factors of all experts share a pair of matrices, A [experts * rank, n_in] with
the expert slowest, B [n_out, rank * experts] with the expert fastest. Wrappers of several parameters of one module are
nested, the first parameter innermost, and the names on disk tell only the depth, not the parameter.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.limits import MAX_EXPERTS
from edgelora_convert.peft.names import is_embedding
from edgelora_convert.peft.tensors import factors
from edgelora_convert.update import Computed, Kind, Pending, UnusableError, Update, transposed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from edgelora_convert.options import MoeBLayout
    from edgelora_convert.peft.changes import Adapter, Change
    from edgelora_convert.peft.scaling import Scaling
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.storage.stored import StoredTensor
    from edgelora_convert.update import Weight

INNER = ".base_layer"
NESTED = (("gate_up_proj", "down_proj"),)
"""Parameters of one module from the inside out (peft/utils/transformers_weight_conversion.py)."""

EXPERTS = "experts"
"""The module that holds them, in every model of Transformers 5."""

MAX_DEPTH = 32
"""Of a path's end that a name can be; models are a dozen modules deep."""

_SWAPS_SINCE = (0, 19)
"""Before, PEFT took every 3-D parameter for [experts, n_in, n_out], though most are [experts, n_out, n_in]."""

_INPUTS_FIRST = {"gpt-oss": True, "llama4": False}
"""Architectures whose parameters are [experts, n_in, n_out], and whether the module tells PEFT so (is_transposed).

Not here: qwen3vlmoe, which has them so in Transformers 4 and the other way round in Transformers 5; nothing in an
adapter tells which it was. Its experts are not square in any model that was published, so their shape decides.
"""

_READ_AS = "it adapts the experts' parameters (target_parameters), read as"
LAYOUT_HINTS: dict[MoeBLayout, str] = {
    "peft": f"{_READ_AS} PEFT writes them; if Unsloth made it before 2026-09-17, its B is laid out differently "
    "(--moe-b-layout unsloth-legacy)",
    "unsloth-legacy": f"{_READ_AS} Unsloth wrote them before 2026-09-17 (--moe-b-layout unsloth-legacy)",
}
"""The file does not tell which it is, so what was taken for granted is said."""


class TargetParameters:
    """The parameters that a configuration names, and the changes of each."""

    def __init__(self, adapter: Adapter, scaling: Scaling) -> None:
        self._named: dict[str, set[str]] = {}
        for name in adapter.fields.names("target_parameters"):
            owner, _, parameter = name.rpartition(".")
            self._named.setdefault(owner, set()).add(parameter)
        self._depth = min(max((owner.count(".") + 1 for owner in self._named), default=1), MAX_DEPTH)
        self._modules = adapter.modules
        self._scaling = scaling
        self._layout = adapter.moe_b_layout
        self._swaps = _version(adapter.fields.text("peft_version")) >= _SWAPS_SINCE
        self._warnings = adapter.warnings
        self._load: Callable[[StoredTensor], NDArray[np.float32]] = lru_cache(maxsize=2)(lambda tensor: tensor.load())

    def of(self, module: str) -> str:
        """The path of the parameter that a module's factors belong to, empty where they are of the module itself."""
        owner = module.removesuffix(INNER)
        named = self._named_of(owner)
        if not named and owner == module:
            return ""
        stored = {owner, owner + INNER} & self._modules.keys()
        if len(named) != len(stored):
            raise UnusableError(
                f"the file holds factors for {len(stored)} of its parameters, target_parameters names {len(named)}"
            )
        if len(named) == 1:
            return f"{owner}.{named.pop()}"
        order = next((order for order in NESTED if set(order) == named), None)
        if order is None:
            raise UnusableError(f"which of its factors belong to {' and which to '.join(sorted(named))} is not known")
        return f"{owner}.{order[owner == module]}"

    def _named_of(self, owner: str) -> set[str]:
        """A name is a path's end (peft/tuners/tuners_utils.py, _inject_parameters).

        Short names without a module are PEFT's own, for experts.
        """
        alone = self._named.get("", set()) if owner.endswith(EXPERTS) else set()
        return alone.union(*(self._named.get(end, ()) for end in _ends(owner, self._depth)))

    def changes(self, parameter: str, parts: Parts) -> Iterable[Change]:
        """The change of an ordinary weight, or one for every expert."""
        a, b = factors(parts, "lora_A", "lora_B")
        rank = self._scaling.ranks[parameter]
        if a.shape[0] % rank or a.shape[0] > MAX_EXPERTS * rank:
            raise UnusableError(
                f"A has {a.shape[0]} rows, which is no multiple of the rank {rank} in the configuration, or too many"
            )
        module = parameter.removesuffix(".weight")
        scale = self._scaling.scale_of(parameter, rank)
        if a.shape[0] == rank:
            yield _ordinary(module, a, b, scale)
            return
        self._warnings.refuse("moe_b_layout", LAYOUT_HINTS[self._layout])
        for expert in range(a.shape[0] // rank):
            yield self._expert(Update(module, *self._slices(a, b, rank, expert), scale, expert=expert))

    def _slices(self, a: StoredTensor, b: StoredTensor, rank: int, expert: int) -> tuple[Computed, Computed]:
        of_expert = slice(expert * rank, (expert + 1) * rank)
        columns = of_expert if self._layout == "unsloth-legacy" else slice(expert, None, a.shape[0] // rank)
        return (
            Computed((rank, a.shape[1]), lambda: self._load(a)[of_expert]),
            Computed((b.shape[0], rank), lambda: np.ascontiguousarray(self._load(b)[:, columns])),
        )

    def _expert(self, update: Update) -> Pending:
        """A and B may have changed places, which the base's shape tells, or its architecture where that is square."""
        n_out, n_in = update.b.shape[0], update.a.shape[1]

        def complete(weight: Weight) -> Update:
            if n_in == n_out:
                told = _INPUTS_FIRST.get(weight.arch)
                is_swapped = not self._swaps if told is None else self._swaps and not told
            else:
                is_swapped = weight.shape == (n_in, n_out)
            return _swapped(update) if is_swapped else update

        return Pending(update.module, complete, expert=update.expert)


def _ends(path: str, depth: int) -> Iterator[str]:
    """The last one, two, ... modules of a path, at most ``depth`` of them."""
    *start, last = path.rsplit(".", depth)[-depth:]
    yield last
    for part in reversed(start):
        last = f"{part}.{last}"
        yield last


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", text)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def _ordinary(module: str, a: StoredTensor, b: StoredTensor, scale: float) -> Update:
    if is_embedding(module):  # a table [vocabulary, width] is looked up, so its inputs are the rows
        return Update(module, transposed(b), transposed(a), scale, Kind.EMBEDDING)
    return Update(module, a, b, scale)


def _swapped(update: Update) -> Update:
    return Update(update.module, transposed(update.b), transposed(update.a), update.scale, expert=update.expert)
