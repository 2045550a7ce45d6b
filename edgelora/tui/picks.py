"""What a person picked, by name, and what the picker's keys make of it before Enter applies it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.adapters.selection import BASE_NAME, MemberText, format_scale

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora.types import AttestedAdapter

Pick = tuple[MemberText, ...]
"""Adapters by name, in the order they were picked; empty is the base. A scale of 0 stays visible."""

MAX_SCALE = 2.0
SCALE_STEP = 0.1


def pick_label(pick: Pick) -> str:
    """``legal 0.7 + medical``, or ``base``."""
    return made_by_label(pick, ())


def made_by_label(beside: Iterable[AttestedAdapter | MemberText], baked: Iterable[AttestedAdapter]) -> str:
    """The adapters applied beside a base, and those ``baked`` into its weights: ``medical 0.3 on legal (baked in)``."""
    label, below = (" + ".join(map(_text, members)) for members in (beside, baked))
    if not below:
        return label or BASE_NAME
    return f"{label} on {below} (baked in)" if label else f"{below} (baked in)"


def _text(member: AttestedAdapter | MemberText) -> str:
    name = member.ref if isinstance(member, MemberText) else member.name
    return name if member.scale == 1.0 else f"{name} {format_scale(member.scale)}"


@dataclass
class Draft:
    """Scales and marks as the picker shows them. ``mix`` is None until a key made or changed a mixture."""

    active: Pick = ()
    scales: dict[str, float] = field(default_factory=dict)
    mix: list[str] | None = None

    def begin(self, active: Pick) -> None:
        """Start from what is in use; scales that were set before are remembered."""
        self.active = active
        self.mix = None
        self.scales.update((member.ref, member.scale) for member in active)

    def scale_of(self, name: str) -> float:
        """The user's scale for an adapter."""
        return self.scales.get(name, 1.0)

    def marked(self, name: str) -> bool:
        """Whether the adapter is part of what is in use, or of the mixture being made."""
        return name in (self._active_names() if self.mix is None else self.mix)

    def toggle(self, name: str) -> None:
        """Put ``name`` into the mixture or take it out; the base empties it."""
        mix = self._begin_mix()
        if name == BASE_NAME:
            mix.clear()
        elif name in mix:
            mix.remove(name)
        else:
            mix.append(name)

    def rescale(self, name: str, steps: int) -> None:
        """Move the scale of an adapter by ``steps`` of 0.1, between 0 and 2. The base has none."""
        if name == BASE_NAME:
            return
        if len(self.active) > 1 and name in self._active_names():
            self._begin_mix()
        scale = self.scale_of(name) + steps * SCALE_STEP
        self.scales[name] = round(min(max(scale, 0.0), MAX_SCALE), 2)

    def result(self, highlighted: str) -> Pick:
        """What Enter applies: the mixture if one was made, else the highlighted adapter alone."""
        if self.mix is not None:
            return tuple(MemberText(name, self.scale_of(name)) for name in self.mix)
        return () if highlighted == BASE_NAME else (MemberText(highlighted, self.scale_of(highlighted)),)

    def _begin_mix(self) -> list[str]:
        if self.mix is None:
            self.mix = self._active_names()
        return self.mix

    def _active_names(self) -> list[str]:
        return [member.ref for member in self.active]
