"""What the adapters of a merge do to the tensors of the base, in whatever form they are.

They take the converter's way, without a file in between: the same readers, and the same layout of rows and columns.
What a GGUF adapter cannot hold is not refused here, but done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from edgelora_convert.gather import gather
from edgelora_convert.layout.resolve import Resolver
from edgelora_convert.layout.wholes import Entries
from edgelora_convert.options import EVERYTHING
from edgelora_convert.peft.names import is_output
from edgelora_convert.plan import MAX_SCALE, check_architecture, pieces_of
from edgelora_convert.problems import Problems

from edgelora.errors import ConversionError, MergeError
from edgelora.gguf.facts import BaseFacts, short_target
from edgelora.gguf.fit import EMBEDDING
from edgelora.gguf.model_names import base_name_warning
from edgelora.merge.accepted import ONE_MATRIX, OPTIONAL_BIASES
from edgelora.merge.layout import Zeros
from edgelora.merge.pieces import Recent, RowChange
from edgelora.merge.piecewise import PiecewiseChange, stored_scales
from edgelora.merge.placed import Place, place_parameter, place_piece
from edgelora.merge.untied import OUTPUT, untied
from edgelora.native.quantize import dequantize
from edgelora.types import ReportProgress, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from edgelora_convert.layout.wholes import Parameter
    from edgelora_convert.peft.changes import Change
    from edgelora_convert.source import Source
    from numpy.typing import NDArray

    from edgelora.gguf.header import TensorInfo
    from edgelora.merge.base import Base, BaseTensor
    from edgelora.merge.options import MergeMember

_ByMatrix = dict[int, list[tuple[float, RowChange]]]
"""Changes of a tensor with their scales, by matrix of a stack."""


@dataclass(frozen=True)
class BaseChanges:
    """``changes`` by tensor, in the order of the base; ``added`` are tensors that the base lacks, before their change.

    Not everything that is added changes: a new output matrix may be the old embedding. ``sources`` are the adapters as
    they were read, in the order of the members.
    """

    changes: Mapping[str, PiecewiseChange]
    added: Mapping[str, BaseTensor | Zeros]
    sources: tuple[Source, ...]
    warnings: tuple[str, ...] = ()


def member_changes(
    base: Base, members: Iterable[MergeMember], progress: ReportProgress = ignore_progress
) -> BaseChanges:
    """Read ``members`` and place everything they hold in ``base``; a member of scale 0 does nothing.

    The values themselves are read when they are needed. Raises MergeError with every reason found where a member
    cannot be merged, and UsageError for the name of a repository that cannot exist.
    """
    reader = _Reader(base, progress)
    for member in members:
        reader.add(member)
    return reader.result()


class _Reader:
    def __init__(self, base: Base, progress: ReportProgress) -> None:
        self._base, self._view = base, untied(base)
        self._facts = BaseFacts.of(self._view.header)
        self._progress = progress
        self._recent = Recent()
        self._sources: list[Source] = []
        self._warnings: list[str] = []
        self._found: dict[str, _ByMatrix] = {}
        self._biases: dict[str, Zeros] = {}

    def add(self, member: MergeMember) -> None:
        problems, warnings = Problems(str(member.path)), Problems(str(member.path))
        try:
            source = gather(member.path, EVERYTHING, problems, warnings, self._progress)
            _check(member, source, problems)
            other = base_name_warning(source.base_name, self._facts.names)
            if other:
                warnings.refuse("base", other)
            places = list(self._places(source, problems, warnings))
            problems.raise_if_any()
        except ConversionError as error:
            listed = "".join(f"\n  - {problem}" for problem in error.problems)
            raise MergeError(f"cannot merge {member.path}:{listed}", error.hint) from None
        self._sources.append(source)
        self._warnings += [f"{source.name}: {line}" for line in warnings.lines()]
        if member.scale:
            self._collect(places, member.scale)

    def _places(self, source: Source, problems: Problems, warnings: Problems) -> Iterator[Place]:
        """Every change that a source makes at scale 1, and where."""
        check_architecture(source, self._facts, problems)
        source = self._of_one_matrix(source, problems) if self._view.was_tied else source
        resolver = Resolver(self._view.header, self._facts, problems, self._rows)
        for piece in pieces_of(source, 1.0, resolver, problems, warnings):
            try:
                yield place_piece(piece, self._view.tensors[piece.tensor.name], self._recent)
            except ValueError as error:
                problems.add(piece.update.module, str(error))
        for whole in source.wholes:
            for parameter in resolver.parameters(whole, source.naming):
                if self._has_room(parameter):
                    yield place_parameter(parameter, tied=whole.tied)
                else:
                    problems.add(whole.module, f"llama.cpp knows no {parameter.tensor} in {self._facts.arch} models")

    def _of_one_matrix(self, source: Source, problems: Problems) -> Source:
        """The source without the output side of what was trained as one matrix: it is the embedding's once more."""
        updates = tuple(update for update in source.updates if not (update.tied and is_output(update.module)))
        wholes = tuple(whole for whole in source.wholes if not (whole.tied and is_output(whole.module)))
        changes: tuple[Change, ...] = (*updates, *wholes, *source.pending)
        for change in changes if self._facts.arch in ONE_MATRIX else ():
            if is_output(change.module):
                problems.add(change.module, self._one_matrix)
        return replace(source, updates=updates, wholes=wholes)

    @property
    def _one_matrix(self) -> str:
        return (
            f"input and output are one matrix in every {self._facts.arch} model of llama.cpp; train both with "
            "ensure_weight_tying, or neither"
        )

    def _rows(self, info: TensorInfo, indices: Sequence[int]) -> NDArray[np.float32]:
        tensor = self._view.tensors[info.name]
        return np.concatenate([dequantize(tensor.type_name, tensor.rows(index, 1)) for index in indices])

    def _has_room(self, parameter: Parameter) -> bool:
        """Whether the base has the tensor, or may get it."""
        if parameter.tensor in self._view.tensors:
            return True
        allowed = OPTIONAL_BIASES.get(self._facts.arch, frozenset())
        weight = parameter.tensor.removesuffix("bias") + "weight"
        if not isinstance(parameter, Entries) or short_target(weight) not in allowed:
            return False
        self._biases[parameter.tensor] = Zeros(parameter.tensor, (parameter.size,))
        return True

    def _collect(self, places: Iterable[Place], scale: float) -> None:
        for place in places:
            both = self._view.was_tied and place.tied and place.tensor == EMBEDDING
            for name in (EMBEDDING, OUTPUT) if both else (place.tensor,):
                self._found.setdefault(name, {}).setdefault(place.matrix, []).append((scale, place.change))

    def result(self) -> BaseChanges:
        added: dict[str, BaseTensor | Zeros] = {
            name: self._biases[name] for name in self._biases if name in self._found
        }
        if self._view.was_tied and self._found.get(EMBEDDING) == self._found.get(OUTPUT):
            self._found.pop(OUTPUT, None)  # both sides change alike, so one matrix still does
        elif self._view.was_tied:
            if self._facts.arch in ONE_MATRIX:
                raise MergeError(f"{self._base.path}: {self._one_matrix}")
            added[OUTPUT] = self._view.tensors[OUTPUT]
        changes = {
            name: PiecewiseChange(self._found[name], _rows_per_matrix(tensor), stored_scales(self._base, name))
            for name, tensor in {**self._base.tensors, **added}.items()
            if name in self._found
        }
        return BaseChanges(changes, added, tuple(self._sources), tuple(self._warnings))


def _check(member: MergeMember, source: Source, problems: Problems) -> None:
    if source.invocation_tokens:
        problems.refuse("alora", "it works only from its invocation tokens on, so it cannot be baked in")
    if not abs(member.scale) <= MAX_SCALE:
        problems.refuse("scale", f"the scale {member.scale:g} is not between {-MAX_SCALE:g} and {MAX_SCALE:g}")


def _rows_per_matrix(tensor: BaseTensor | Zeros) -> int:
    return tensor.shape[1] if len(tensor.shape) > 1 else 1
