"""Reads both sides of a conversion and decides what goes where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.reader import read_header
from edgelora_convert.factors import pair_factors
from edgelora_convert.layouts import ARCHITECTURES
from edgelora_convert.peft_config import LoraConfig, read_config
from edgelora_convert.resolve import Resolver, Target
from edgelora_convert.source import PeftFolder, find_source
from edgelora_convert.tensor_file import open_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from edgelora_convert.problems import Problems


@dataclass(frozen=True)
class Plan:
    """A conversion: what is converted, against what, and the base tensor of every pair of factors."""

    source: PeftFolder
    config: LoraConfig
    base: BaseFacts
    targets: list[Target]


def make_plan(src: Path, base_path: Path, problems: Problems, warnings: Problems) -> Plan:
    """Read the source and the base's header, and resolve every pair.

    What speaks against the conversion goes to ``problems``. Raises ConversionError only where nothing more could be
    found out, and GGUFError where the base is not readable.
    """
    source = find_source(src, problems)
    config = read_config(source.config, problems)
    base = BaseFacts.of(read_header(base_path))
    tensors = open_tensors(source.weights, problems)
    if base.arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        problems.stop("arch", f"the base has the architecture {base.arch!r}; adapters can be converted for {known}")
    pairs = pair_factors(tensors, problems)
    targets = Resolver(base, problems).targets(pairs)
    if not pairs and not problems:
        problems.refuse("empty", f"{source.weights.name} holds no LoRA factors")
    for target in targets:
        _compare_rank(target, config, warnings)
    return Plan(source, config, base, targets)


def _compare_rank(target: Target, config: LoraConfig, warnings: Problems) -> None:
    pair = target.pair
    configured = config.rank_of(pair.module)
    if configured != pair.rank:
        warnings.add(
            pair.module, f"the configuration says rank {configured}, the weights have {pair.rank}, which counts"
        )
    if pair.rank > min(pair.a.shape[1], pair.b.shape[0]):
        warnings.add(pair.module, f"its rank {pair.rank} is larger than the matrix can use")
