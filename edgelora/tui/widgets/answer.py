"""An answer in the transcript: streamed Markdown, and under it what made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from edgelora.tui.picks import made_by_label
from edgelora.tui.theme import QUIET
from edgelora.tui.widgets.frames import Frames
from edgelora.tui.widgets.message_column import MessageColumn
from edgelora.tui.widgets.streamed_markdown import StreamedMarkdown, next_step

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgelora.types import AttestedAdapter, Finished

SHARE = 0.03
"""Of a core's time goes into pictures, at most."""
STEP = 3
"""Lines by which an answer that grows is laid out higher."""
BROKEN_OFF = "● broken off, not part of the conversation"


class Caption(Static):
    """The line under an answer."""

    def __init__(self, text: str) -> None:
        super().__init__(text, markup=False, classes="caption")
        self.text = text
        self._alternatives = ""

    def show(self, text: str | None = None, alternatives: str | None = None) -> None:
        """Change either part."""
        self.text = self.text if text is None else text
        self._alternatives = self._alternatives if alternatives is None else alternatives
        space = "  " if self._alternatives else ""
        self.update(Content.assemble((self._alternatives, "bold $accent"), space, self.text))


class Answer(Vertical):
    """Shows text as it comes, however fast tokens arrive. Implements AnswerView."""

    def __init__(self, label: str, tint: int | None, baked: tuple[AttestedAdapter, ...]) -> None:
        """``baked`` are the adapters in the weights of the base that answers."""
        super().__init__(classes="" if tint is None else f"-tint-{tint}")
        self._baked = baked
        self.text = ""
        self._pending: list[str] = []
        self._frames = Frames(self, self._paint, SHARE)
        self.body = StreamedMarkdown()
        self._more = Static(markup=False, classes="more")
        self._more.display = False
        self._caption = Caption(f"● {label} …")

    def compose(self) -> ComposeResult:
        """Body over caption."""
        yield self.body
        yield self._more
        yield self._caption

    def show_alternatives(self, alternatives: str) -> None:
        """Which of the answers to its question it is."""
        self._caption.show(alternatives=alternatives)

    def fold(self, folded: bool) -> None:
        """Show its first words only, or all of it again."""
        self.body.display, self._more.display = not folded, folded
        first, *more = self.text.strip().split("\n")
        self._more.update(Content.assemble(first, (f" … {len(more):,} more lines" if more else "", QUIET)))

    @property
    def caption(self) -> str:
        """The line under the answer."""
        return self._caption.text

    async def write(self, text: str) -> None:
        """More text; it is painted with the next frame."""
        self._pending.append(text)
        self.text += text
        self._frames.ask()

    async def finish(self, finished: Finished) -> None:
        """All text is there; the caption says what made it."""
        self._paint()
        self.body.end()
        self._caption.show(answer_caption(finished, self._baked))

    async def abandon(self) -> None:
        """It ended by an error: what came stays readable, and nothing is left where nothing came."""
        self._paint()
        self.body.end()
        if self.text.strip():
            self._caption.show(BROKEN_OFF)
        elif isinstance(self.parent, MessageColumn):
            await self.parent.discard(self)

    def _paint(self) -> None:
        if self._pending:
            if self.body.append("".join(self._pending)):
                self.body.lay_out(next_step(self.body.n_lines, STEP))
            self._pending.clear()


def answer_caption(made_by: Finished, baked: tuple[AttestedAdapter, ...] = ()) -> str:
    """What made an answer, on a base with ``baked`` in its weights, and how fast."""
    parts = [f"● {made_by_label(made_by.adapters, baked)}"]
    if made_by.completion_tokens:
        parts += [
            f"TTFT {made_by.ttft_ms:,.0f} ms",
            f"{made_by.tok_per_s:,.0f} tok/s",
            f"{made_by.completion_tokens:,} tokens",
        ]
    if made_by.reason == "cancelled":
        parts.append("stopped" if made_by.completion_tokens else "stopped before the first word")
    elif made_by.reason == "length":
        parts.append("cut off: the context is full")
    elif not made_by.completion_tokens:
        parts.append("ended without a word")
    return " · ".join(parts)
