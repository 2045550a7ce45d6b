"""Finds the base tensor that a module of the trained model became: by the field's name map, and by looking.

The map is gguf's table of names, used as data. It knows more names than any one model has, so a hit counts only if
the tensor is in the base file, with the right shape.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from edgelora.gguf.facts import short_target
from edgelora.gguf.fit import EMBEDDING, nearest
from edgelora_convert.layouts import ARCHITECTURES, SAME, BlockDims, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgelora.gguf.facts import BaseFacts
    from edgelora.gguf.header import TensorInfo
    from edgelora_convert.factors import Pair
    from edgelora_convert.problems import Problems

OUTPUT = "output.weight"
_LAYER = re.compile(r"(?:(?<=\.)|^)[0-9]{1,6}(?=\.)")
_INNER_MODELS = re.compile(r"(?:^|(?<=\.))(?:language_model|text_model)\.")

# Meta's own layout has the rotary pairs side by side already, so the rows of these must not be reordered.
_NATIVE_NAMES = re.compile(r"(?:^|\.)attention\.w[qkvo]$")

_TIED = (
    "this base uses one matrix as embedding and as output (tied), and llama.cpp can adapt neither side of it; "
    "train without this module"
)


@dataclass(frozen=True)
class Target:
    """One pair and where it goes: the base tensor, and how its layout changes."""

    pair: Pair
    tensor: TensorInfo
    layout: Layout
    dims: BlockDims


class Resolver:
    """Resolves module paths against one base."""

    def __init__(self, base: BaseFacts, problems: Problems) -> None:
        self._base = base
        self._problems = problems

    def targets(self, pairs: list[Pair]) -> list[Target]:
        """The target of every pair, in the base's tensor order; what has none goes to the problems."""
        found: dict[str, Target] = {}
        for pair in pairs:
            target = self._target(pair)
            if target is None:
                continue
            if target.tensor.name in found:
                self._problems.add(pair.module, f"a second pair for {target.tensor.name}")
            found[target.tensor.name] = target
        return [found[name] for name in self._base.tensors if name in found]

    def _target(self, pair: Pair) -> Target | None:
        tensor = self._tensor(pair)
        if tensor is None:
            return None
        wrong = list(_shape_problems(pair, tensor))
        for problem in wrong:
            self._problems.add(pair.module, problem)
        layout = ARCHITECTURES[self._base.arch].get(short_target(tensor.name), SAME)
        return None if wrong else Target(pair, tensor, layout, self._dims(tensor.name))

    def _tensor(self, pair: Pair) -> TensorInfo | None:
        """The one base tensor that the module's name means."""
        names = list(dict.fromkeys(self._names(pair.module)))
        present = [name for name in names if name in self._base.tensors]
        if _NATIVE_NAMES.search(pair.module):
            self._problems.add(pair.module, "names of the original Llama release are not supported; Transformers' are")
        elif _layer_of(pair.module) >= self._base.n_layers:
            self._problems.add(pair.module, f"the base has only {self._base.n_layers} layers")
        elif len(present) > 1:
            self._problems.add(pair.module, f"it could mean {' or '.join(present)}")
        elif not present:
            self._problems.add(pair.module, self._why_absent(pair.module, names))
        elif present[0] == EMBEDDING and self._base.tied:
            self._problems.add(pair.module, _TIED)
        elif pair.is_embedding != (present[0] == EMBEDDING):
            self._problems.add(pair.module, f"{present[0]} is adapted as if it were {_kind(pair.is_embedding)}")
        else:
            return self._base.tensors[present[0]]
        return None

    def _names(self, module: str) -> Iterator[str]:
        """Base tensor names that the map knows for the spellings of a module path."""
        module = _INNER_MODELS.sub("", module)
        layer = _LAYER.search(module)
        template = _LAYER.sub("0", module, count=1)
        for spelling in (template, f"model.{template}", template.removeprefix("model."), f"transformer.{template}"):
            mapped = self._name_map.get(spelling)
            if mapped is not None:
                yield f"{mapped.replace('blk.0.', f'blk.{layer.group()}.') if layer else mapped}.weight"

    @cached_property
    def _name_map(self) -> Mapping[str, str]:
        """Module names of a model with one layer, and what they are called in a GGUF."""
        from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
        from gguf.tensor_mapping import TensorNameMap

        arch = next(arch for arch in MODEL_ARCH if MODEL_ARCH_NAMES[arch] == self._base.arch)
        return {name: tensor for name, (_, tensor) in TensorNameMap(arch, 1).mapping.items()}

    def _why_absent(self, module: str, names: list[str]) -> str:
        if OUTPUT in names:
            return _TIED
        if names:
            return f"the base has no {names[0]}{nearest(names[0], self._base.tensors)}"
        return f"unknown in {self._base.arch} models{nearest(_guess(module), self._base.tensors)}"

    def _dims(self, tensor: str) -> BlockDims:
        base, layer = self._base, max(_layer_of(tensor), 0)
        return BlockDims(base.n_head[layer], base.n_kv[layer], base.head_dim)


def _layer_of(name: str) -> int:
    """The number of the layer in a module path or tensor name; -1 outside of layers."""
    layer = _LAYER.search(name)
    return int(layer.group()) if layer else -1


def _kind(is_embedding: bool) -> str:
    return "an embedding" if is_embedding else "an ordinary layer"


def _guess(module: str) -> str:
    """A GGUF-like name for a module the map does not know, to find similar ones with."""
    layer = _LAYER.search(module)
    last = module.rsplit(".", 1)[-1].removesuffix("_proj")
    return f"blk.{layer.group()}.{last}.weight" if layer else f"{last}.weight"


def _shape_problems(pair: Pair, tensor: TensorInfo) -> Iterator[str]:
    """GGUF shapes put the row length first: a weight [n_out, n_in] is [n_in, n_out] there."""
    if len(tensor.shape) != 2:
        yield f"{tensor.name} is no matrix in the base but {list(tensor.shape)}"
        return
    n_in, n_out = tensor.shape[::-1] if pair.is_embedding else tensor.shape
    got_in, got_out = pair.a.shape[1], pair.b.shape[0]
    if (got_in, got_out) != (n_in, n_out):
        what = "vocabulary and width" if pair.is_embedding else "inputs and outputs"
        yield f"it was trained for {got_in} and {got_out} {what}, {tensor.name} of the base has {n_in} and {n_out}"
