"""A base that has one matrix for input and output, seen as if it had two: an adapter may change one side alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgelora.gguf.fit import EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgelora.gguf.header import Header
    from edgelora.merge.base import Base, BaseTensor

OUTPUT = "output.weight"


@dataclass(frozen=True, slots=True)
class Untied:
    """``header`` and ``tensors`` of a base with an output matrix of its own; ``was_tied``: it is the embedding's."""

    header: Header
    tensors: Mapping[str, BaseTensor]
    was_tied: bool


def untied(base: Base) -> Untied:
    """The base as one with two matrices, whether it has them or not."""
    embedding = base.tensors.get(EMBEDDING)
    if embedding is None or OUTPUT in base.tensors:
        return Untied(base.header, base.tensors, was_tied=False)
    output = replace(embedding, info=replace(embedding.info, name=OUTPUT))
    infos = {**base.header.tensors, OUTPUT: output.info}
    return Untied(replace(base.header, tensors=infos), {**base.tensors, OUTPUT: output}, was_tied=True)
