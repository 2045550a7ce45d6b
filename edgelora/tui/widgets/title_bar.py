"""The first line of the screen: what is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from edgelora.tui.picks import made_by_label
from edgelora.tui.theme import QUIET

if TYPE_CHECKING:
    from edgelora.types import BaseInfo


class TitleBar(Static):
    """Program, base, and whether it is the demo."""

    def show_base(self, name: str, base: BaseInfo | None, *, is_demo: bool) -> None:
        """``name`` is shown until the base is open."""
        facts = base_facts(base) if base else f"{name} · opening"
        parts = [("edgelora", "bold $primary"), ("  ", ""), (facts, QUIET)]
        if is_demo:
            parts += [("  ", ""), (" demo ", "$text-warning on $warning-muted")]
        self.update(Content.assemble(*parts))


def base_facts(base: BaseInfo) -> str:
    """One line about a base."""
    exclusive = " · exclusive mode" if base.mode == "exclusive" else ""
    baked = f" with {made_by_label(base.baked, ())} in it" if base.baked else ""
    return f"{base.name}{baked} · {base.arch} · {parameters(base.n_params)} · {base.quantization}{exclusive}"


def parameters(count: int) -> str:
    """``6.1 M`` or ``1.5 B`` parameters."""
    return f"{count / 1e9:.1f} B" if count >= 10**9 else f"{count / 1e6:.1f} M"
