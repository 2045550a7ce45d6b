"""Finds the base tensors that a module of the trained model became: by the field's name map, and by looking.

The map knows more names than any one model has, so a hit counts only if the tensor is in the base file, with the
right shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora.gguf.facts import BaseFacts, layer_of, short_target
from edgelora.gguf.fit import EMBEDDING, nearest
from edgelora_convert.layout.architectures import ARCHITECTURES, COMMON
from edgelora_convert.layout.dims import block_dims
from edgelora_convert.layout.names import NameMap, Place, is_other_modality
from edgelora_convert.layout.placement import Piece
from edgelora_convert.layout.rules import Index, Part, Refused, Rule
from edgelora_convert.layout.storage import BlockStorage
from edgelora_convert.update import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgelora.gguf.header import Header, TensorInfo
    from edgelora_convert.layout.dims import BlockDims
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Naming
    from edgelora_convert.update import Update

OUTPUT = "output"

_NATIVE_NAMES = (".attention.wq", ".attention.wk")
"""Modules of the original Llama and Mistral releases, which have rotary pairs side by side, as llama.cpp does."""

_TIED = (
    "this base uses one matrix as embedding and as output (tied), and llama.cpp can adapt neither side of it; "
    "train without this module"
)


class Resolver:
    """Places updates in one base. What has no place goes to ``problems``."""

    def __init__(self, header: Header, base: BaseFacts, problems: Problems) -> None:
        """Raises ConversionError where the base's architecture is unknown."""
        self._header = header
        self._base = base
        self._problems = problems
        if base.arch not in ARCHITECTURES:
            known = ", ".join(sorted(ARCHITECTURES))
            problems.stop("arch", f"the base has the architecture {base.arch!r}; adapters can be converted for {known}")
        self._rules = ARCHITECTURES[base.arch]
        self._names = NameMap(base.arch)

    def pieces(self, update: Update, naming: Naming) -> list[Piece]:
        """Where every row of ``update`` goes; empty where that is a problem."""
        in_gguf = naming == "gguf"
        place = _gguf_place(update.module) if in_gguf else self._names.place(update.module)
        if place.layer >= self._base.n_layers:
            self._problems.add(update.module, f"the base has only {self._base.n_layers} layers")
            return []
        dims = block_dims(self._header, self._base, max(place.layer, 0))
        storage = BlockStorage(self._base.tensors, place.layer, dims)
        ordered = in_gguf or update.module.endswith(_NATIVE_NAMES)
        found = {tensor: rule for tensor in place.tensors if (rule := self._rule(tensor, storage, ordered))}
        problem = self._name_problem(update, place, storage, list(found))
        if problem:
            self._problems.add(update.module, problem)
            return []
        rule = found.popitem()[1]
        if isinstance(rule, Refused):
            self._problems.add(update.module, rule.reason)
            return []
        try:
            stack = update.expert if update.expert is not None else place.expert
            return [piece for part in rule for piece in _placed(update, part, storage, dims, stack)]
        except ValueError as error:
            self._problems.add(update.module, str(error))
            return []

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

    def _name_problem(self, update: Update, place: Place, storage: BlockStorage, found: list[str]) -> str | None:
        if len(found) > 1:
            return f"it could mean {' or '.join(map(storage.name, found))}"
        if not found:
            return self._why_absent(update.module, place, storage)
        is_embedding = storage.name(found[0]) == EMBEDDING
        if is_embedding and self._base.tied:
            return _TIED
        if (update.kind is Kind.EMBEDDING) != is_embedding:
            return f"{storage.name(found[0])} is adapted as if it were {update.kind.value}"
        return None

    def _why_absent(self, module: str, place: Place, storage: BlockStorage) -> str:
        if is_other_modality(module):
            return "it belongs to the vision or audio side of the model, which llama.cpp cannot adapt"
        if OUTPUT in place.tensors:
            return _TIED
        if place.tensors:
            name = storage.name(place.tensors[0])
            return f"the base has no {name}{nearest(name, self._base.tensors)}"
        guess = storage.name(module.rsplit(".", 1)[-1].removesuffix("_proj"))
        return f"unknown in {self._base.arch} models{nearest(guess, self._base.tensors)}"


def _gguf_place(tensor: str) -> Place:
    return Place(layer_of(tensor), None, (short_target(tensor),))


def _placed(update: Update, part: Part, storage: BlockStorage, dims: BlockDims, stack: int | None) -> Iterator[Piece]:
    """The pieces of one part: one, or one for each matrix of a stack. Raises ValueError where the shapes disagree."""
    slot = storage.slot(part.tensor)
    assert slot is not None  # _rule has looked
    n_out, n_in = update.b.shape[0], update.a.shape[1]
    try:
        rows = part.rows(dims, n_out) if part.rows else None
        columns = part.columns(dims, n_in) if part.columns else None
    except ValueError:
        # a shape that is wrong anyway is said in the words of shapes
        _check_shape(Piece(update, slot.tensor, slot.first, stack=stack), slot.n_rows)
        raise
    stacks = [(stack, rows)] if rows is None or rows.ndim == 1 else list(enumerate(rows))
    for number, chosen in stacks:
        piece = Piece(update, slot.tensor, slot.first, chosen, columns, number, part.transposed)
        _check_shape(piece, slot.n_rows)
        yield piece


def _check_shape(piece: Piece, n_rows: int) -> None:
    """GGUF shapes put the row length first: a weight [n_out, n_in] is [n_in, n_out] there."""
    tensor, update = piece.tensor, piece.update
    is_embedding = update.kind is Kind.EMBEDDING
    if (piece.stack is None) != (len(tensor.shape) == 2):
        raise ValueError(f"{tensor.name} of the base is {_described(tensor)}, the adapter's {_meant(piece)}")
    if piece.stack is not None and piece.stack >= tensor.shape[2]:
        raise ValueError(f"it is number {piece.stack}, {tensor.name} of the base has only {tensor.shape[2]}")
    expected = (tensor.shape[0], n_rows) if is_embedding else (n_rows, tensor.shape[0])
    got = _length(piece.rows, update.b.shape[0]), _length(piece.columns, update.a.shape[1])
    if (got[::-1] if piece.transposed else got) != expected:
        what = "vocabulary and width" if is_embedding else "inputs and outputs"
        raise ValueError(
            f"it was trained for {got[1]} and {got[0]} {what}, {tensor.name} of the base has "
            f"{expected[1]} and {expected[0]}"
        )


def _length(chosen: Index | None, everything: int) -> int:
    return everything if chosen is None else int(np.size(chosen))


def _described(tensor: TensorInfo) -> str:
    return f"a stack of {tensor.shape[2]}" if len(tensor.shape) == 3 else f"no matrix but {list(tensor.shape)}"


def _meant(piece: Piece) -> str:
    return "a plain matrix" if piece.stack is None else "one of a stack"
