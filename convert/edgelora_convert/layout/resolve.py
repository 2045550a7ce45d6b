"""Finds the base tensors that a module of the trained model became: by the field's name map, and by looking.

The map knows more names than any one model has, so a hit counts only if the tensor is in the base file, with the
right shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from edgelora.gguf.data import tensor_rows
from edgelora.gguf.facts import BaseFacts, layer_of, short_target
from edgelora.gguf.fit import EMBEDDING, nearest
from edgelora_convert.layout.architectures import ARCHITECTURES, COMMON
from edgelora_convert.layout.base_weight import BaseWeight
from edgelora_convert.layout.dims import block_dims
from edgelora_convert.layout.names import NameMap, Place, is_other_modality
from edgelora_convert.layout.placement import Piece, placed
from edgelora_convert.layout.rules import Part, Refused, Rule
from edgelora_convert.layout.storage import BlockStorage
from edgelora_convert.layout.tied import output_is_a_copy
from edgelora_convert.layout.wholes import Parameter, placed_whole
from edgelora_convert.problems import OTHER_BASE
from edgelora_convert.update import Kind, MisfitError, UnusableError

if TYPE_CHECKING:
    from edgelora.gguf.header import Header
    from edgelora_convert.layout.base_weight import ReadRows
    from edgelora_convert.layout.storage import Slot
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Naming
    from edgelora_convert.update import Pending, Update, Whole

OUTPUT = "output"

_NATIVE_NAMES = (".attention.wq", ".attention.wk")
"""Modules of the original Llama and Mistral releases, which have rotary pairs side by side, as llama.cpp does."""

_TIED = (
    "this base uses one matrix as embedding and as output (tied), and llama.cpp can adapt neither side of it; "
    "merge it into its base with edgelora merge, or train without this module"
)


@dataclass(frozen=True)
class Located:
    """What a module is in the base: its parts, where they are, and the expert that its name gives."""

    parts: tuple[Part, ...]
    storage: BlockStorage
    expert: int | None

    @property
    def slots(self) -> list[Slot]:
        """Where the parts are, in their order."""
        return [self.storage.slot(part.tensor) for part in self.parts]

    @property
    def shape(self) -> tuple[int, int]:
        """[n_out, n_in] of a layer (of one expert, where there are several), [vocabulary, width] of an embedding."""
        slots = self.slots
        return sum(slot.n_rows for slot in slots), slots[0].tensor.shape[0]


class Resolver:
    """Finds modules in one base. What is not there goes to ``problems``."""

    def __init__(self, header: Header, base: BaseFacts, problems: Problems, read: ReadRows | None = None) -> None:
        """``read`` gives rows of a base that is not the one file that its header names."""
        self._header = header
        self._base = base
        self._problems = problems
        self._read = read or partial(tensor_rows, header)
        self._rules = ARCHITECTURES.get(base.arch, {})
        self._names = NameMap(base.arch)
        self._blocks: dict[tuple[int, bool], BlockStorage] = {}

    @cached_property
    def output_is_a_copy(self) -> bool:
        """Whether the base holds one matrix twice, as embedding and as output."""
        return output_is_a_copy(self._header, self._read)

    def pieces(self, update: Update, naming: Naming) -> list[Piece]:
        """Where every row of ``update`` goes; empty where that is a problem."""
        located = self.locate(update.module, update.kind, naming)
        try:
            return placed(update, located) if located else []
        except ValueError as error:
            self._problems.add(update.module, str(error), OTHER_BASE)
            return []

    def complete(self, pending: Pending, naming: Naming) -> Update | None:
        """The update that ``pending`` becomes with the base's weight at hand; None where that is a problem."""
        located = self.locate(pending.module, pending.kind, naming)
        try:
            return pending.complete(BaseWeight(self._header, located, pending.kind, self._read)) if located else None
        except UnusableError as error:
            self._problems.add(pending.module, str(error), OTHER_BASE if isinstance(error, MisfitError) else "")
            return None

    def parameters(self, whole: Whole, naming: Naming) -> list[Parameter]:
        """Where everything of ``whole`` goes; empty where that is a problem."""
        located = self.locate(whole.module, whole.kind, naming)
        try:
            return placed_whole(whole, located, self._base.arch) if located else []
        except ValueError as error:
            self._problems.add(f"{whole.module}.{whole.parameter}", str(error), OTHER_BASE)
            return []

    def kind_of(self, module: str) -> Kind:
        """What the weight of ``module`` is, by its name."""
        return Kind.EMBEDDING if short_target(EMBEDDING) in self._names.place(module).tensors else Kind.LINEAR

    def locate(self, module: str, kind: Kind, naming: Naming) -> Located | None:
        """What ``module`` is in the base; None where that is a problem.

        Raises ConversionError where the layout of the base's architecture is unknown and matters.
        """
        in_gguf = naming == "gguf"
        if not in_gguf:
            self._require_known_layout()
        place = _gguf_place(module) if in_gguf else self._names.place(module)
        if place.layer >= self._base.n_layers:
            self._problems.add(module, f"the base has only {self._base.n_layers} layers", OTHER_BASE)
            return None
        storage = self._storage(place.layer, in_gguf)
        ordered = in_gguf or module.endswith(_NATIVE_NAMES)
        found = {tensor: rule for tensor in place.tensors if (rule := self._rule(tensor, storage, ordered))}
        if not found:
            self._problems.add(module, *self._why_absent(module, place, storage))
            return None
        problem = self._name_problem(kind, storage, list(found))
        if problem:
            self._problems.add(module, problem)
            return None
        (rule,) = found.values()
        if isinstance(rule, Refused):
            self._problems.add(module, rule.reason)
            return None
        return Located(rule, storage, place.expert)

    def _require_known_layout(self) -> None:
        arch = self._base.arch
        if arch not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            text = f"the base has the architecture {arch!r}; adapters can be converted for {known}"
            self._problems.stop("arch", text)

    def _storage(self, layer: int, in_gguf: bool) -> BlockStorage:
        key = layer, in_gguf
        if key not in self._blocks:
            dims = block_dims(self._header, self._base, max(layer, 0))
            self._blocks[key] = BlockStorage(self._base.tensors, layer, dims, whole_first=in_gguf)
        return self._blocks[key]

    def _rule(self, tensor: str, storage: BlockStorage, ordered: bool) -> Rule | None:
        """The parts of a module that may be called ``tensor``; None where the base has no room for them.

        ``ordered``: its rows are in llama.cpp's order already.
        """
        whole = storage.whole(tensor)
        same = (Part(tensor),)
        rule = None if ordered else self._rules.get(tensor)
        if rule is None:
            rule = same if whole else COMMON.get(tensor, same)
        if isinstance(rule, Refused) or all(storage.has(part.tensor) for part in rule):
            return rule
        return same if whole else None

    def _name_problem(self, kind: Kind, storage: BlockStorage, found: list[str]) -> str | None:
        if len(found) > 1:
            return f"it could mean {' or '.join(map(storage.name, found))}"
        is_embedding = storage.name(found[0]) == EMBEDDING
        if is_embedding and self._base.tied:
            return _TIED
        if (kind is Kind.EMBEDDING) != is_embedding:
            return f"{storage.name(found[0])} is adapted as if it were {kind.value}"
        return None

    def _why_absent(self, module: str, place: Place, storage: BlockStorage) -> tuple[str, str]:
        """Reason and hint."""
        if is_other_modality(module):
            return "it belongs to the vision or audio side of the model, which llama.cpp cannot adapt", ""
        if OUTPUT in place.tensors:
            return _TIED, ""
        if place.tensors:
            name = storage.name(place.tensors[0])
            return f"the base has no {name}{self._nearest(name)}", OTHER_BASE
        guess = storage.name(module.rsplit(".", 1)[-1].removesuffix("_proj"))
        return f"unknown in {self._base.arch} models{self._nearest(guess)}", ""

    def _nearest(self, name: str) -> str:
        """Looking takes long, so it is done for what will be shown."""
        return "" if self._problems.is_full else nearest(name, self._base.tensors)


def _gguf_place(tensor: str) -> Place:
    return Place(layer_of(tensor), None, (short_target(tensor),))
