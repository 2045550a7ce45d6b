"""The matrices of a whole model, as Transformers saves it, in the layout of a base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora_convert.layout.names import is_other_modality
from edgelora_convert.layout.tied import OUTPUT
from edgelora_convert.layout.wholes import placed_matrix
from edgelora_convert.update import Kind, Whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from edgelora_convert.layout.resolve import Located, Resolver
    from edgelora_convert.layout.wholes import MatrixRows
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Naming
    from edgelora_convert.storage.stored import StoredTensor

_EXPERTS_INPUTS_FIRST = frozenset({"gpt-oss", "llama4"})
"""Architectures whose experts lie in one parameter [experts, n_in, n_out]; of others only where the shape says so."""

_FURTHER_TOKENS = "mtp"
"""How modules begin in which models keep layers that predict further tokens, under the names of ordinary ones."""


def _is_weight(values: StoredTensor) -> bool:
    return len(values.shape) in (2, 3) and 0 not in values.shape


def _is_text(module: str) -> bool:
    further = any(part.startswith(_FURTHER_TOKENS) for part in module.split("."))
    return not further and not is_other_modality(module)


class WholeModel:
    """Places a model's weights in the base of ``resolver``, whose architecture is ``arch``."""

    def __init__(self, resolver: Resolver, arch: str, problems: Problems) -> None:
        self._resolver = resolver
        self._arch = arch
        self._problems = problems

    def matrices(self, stored: Mapping[str, StoredTensor], wanted: Collection[str]) -> dict[str, list[MatrixRows]]:
        """What the tensors of the base called ``wanted`` are made of, by their names, in no order.

        ``stored`` are the model's parameters by name; vectors and kernels are left out. What cannot be placed goes to
        the problems. Raises ConversionError where the layout of the base's architecture is unknown and matters.
        """
        modules = {name.removesuffix(".weight"): values for name, values in stored.items()}
        weights = {module: values for module, values in modules.items() if _is_weight(values) and _is_text(module)}
        found: dict[str, list[MatrixRows]] = {}
        for module, values in weights.items():
            self._place(module, values, wanted, found)
        if OUTPUT in wanted and OUTPUT not in found:  # one matrix, which the base holds twice
            for module, values in weights.items():
                if self._resolver.kind_of(module) is Kind.EMBEDDING:
                    self._place(OUTPUT, values, wanted, found, "gguf")
        return found

    def _place(
        self,
        module: str,
        values: StoredTensor,
        wanted: Collection[str],
        found: dict[str, list[MatrixRows]],
        naming: Naming = "transformers",
    ) -> None:
        kind = self._resolver.kind_of(module)
        located = self._resolver.locate(module, kind, naming)
        if located is None or not any(slot.tensor.name in wanted for slot in located.slots):
            return
        try:
            for whole in self._wholes(module, values, kind, located):
                for rows in placed_matrix(whole, located, self._arch):
                    found.setdefault(rows.tensor, []).append(rows)
        except ValueError as error:
            self._problems.add(module, str(error))

    def _wholes(self, module: str, values: StoredTensor, kind: Kind, located: Located) -> Iterator[Whole]:
        """Its matrices: one, or one [n_out, n_in] for each expert."""
        if len(values.shape) == 2:
            yield Whole(module, "weight", values, kind)
            return
        n_experts = located.slots[0].tensor.shape[2:]
        if values.shape[:1] != n_experts:
            raise ValueError(f"it is {list(values.shape)}, {located.slots[0].tensor.name} of the base is not as deep")
        expected = located.shape
        square = expected[0] == expected[1]
        turned = self._arch in _EXPERTS_INPUTS_FIRST if square else values.shape[1:] == expected[::-1]
        for expert in range(values.shape[0]):
            matrix = values.row(expert)
            yield Whole(module, "weight", matrix.transposed if turned else matrix, kind, expert=expert)
