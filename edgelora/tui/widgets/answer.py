"""An answer in the transcript: streamed Markdown, and under it what made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.widgets import Markdown, Static

from edgelora.tui.picks import made_by_label
from edgelora.tui.widgets.parser import chat_parser

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from edgelora.types import AttestedAdapter, Finished

FRAMES_PER_SECOND = 20


class Answer(Vertical):
    """Shows text as it comes, at most 20 times a second, however fast tokens arrive. Implements AnswerView."""

    def __init__(self, label: str, tint: int | None, baked: tuple[AttestedAdapter, ...]) -> None:
        """``baked`` are the adapters in the weights of the base that answers."""
        super().__init__(classes="" if tint is None else f"-tint-{tint}")
        self._baked = baked
        self.text = ""
        self._pending: list[str] = []
        self._body = Markdown(parser_factory=chat_parser)
        self._caption = Static(f"● {label} …", markup=False, classes="caption")

    def compose(self) -> ComposeResult:
        """Body over caption."""
        yield self._body
        yield self._caption

    def on_mount(self) -> None:
        """Begin to paint."""
        self._stream = Markdown.get_stream(self._body)
        self._painting = self.set_interval(1 / FRAMES_PER_SECOND, self._paint)

    @property
    def caption(self) -> str:
        """The line under the answer."""
        return str(self._caption.content)

    async def write(self, text: str) -> None:
        """More text; it is painted with the next frame."""
        self._pending.append(text)
        self.text += text

    async def finish(self, finished: Finished) -> None:
        """All text is there; the caption says what made it."""
        await self._end()
        self._caption.update(_caption(finished, self._baked))

    async def abandon(self) -> None:
        """It ended by an error: what came stays readable, and nothing is left where nothing came."""
        await self._end()
        if self.text.strip():
            self._caption.update("● broken off, not part of the conversation")
        else:
            await self.remove()

    async def _paint(self) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        await self._stream.write(text)

    async def _end(self) -> None:
        self._painting.stop()
        await self._paint()
        await self._stream.stop()


def _caption(made_by: Finished, baked: tuple[AttestedAdapter, ...]) -> str:
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
