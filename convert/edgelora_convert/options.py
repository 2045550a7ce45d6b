"""What a person can choose about a conversion."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from edgelora.gguf.facts import layer_of, short_target

if TYPE_CHECKING:
    from collections.abc import Iterator

MoeBLayout = Literal["peft", "unsloth-legacy"]
"""The order of columns in the B of expert parameters: expert fastest, or (Unsloth before September 2026) slowest."""


@dataclass(frozen=True)
class Options:
    """``scales`` has one factor for each source, or none at all for 1. ``layers`` and ``modules`` restrict what is
    kept, by number and by short tensor name such as attn_q; None keeps everything.
    """

    scales: tuple[float, ...] = ()
    layers: frozenset[int] | None = None
    modules: frozenset[str] | None = None
    exact_norms: bool = False
    moe_b_layout: MoeBLayout = "peft"
    revision: str | None = None
    subfolder: str | None = None

    def keeps(self, tensor: str) -> bool:
        """Whether the base tensor of this name is among the chosen ones."""
        in_layers = self.layers is None or layer_of(tensor) in self.layers
        return in_layers and (self.modules is None or short_target(tensor) in self.modules)

    def arguments(self) -> Iterator[str]:
        """What is asked for, as options of a command line: `--scale=0.5`."""
        for field in fields(self):
            value, name = getattr(self, field.name), field.name.replace("_", "-")
            if value == field.default:
                continue
            if value is True:
                yield f"--{name}"
            elif isinstance(value, tuple):
                yield from (f"--{name.removesuffix('s')}={one}" for one in value)
            else:
                yield f"--{name}={','.join(map(str, sorted(value))) if isinstance(value, frozenset) else value}"


EVERYTHING = Options()
