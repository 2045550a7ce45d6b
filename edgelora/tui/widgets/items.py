"""What the transcript holds: light values, which are drawn when they come near the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgelora.tui.message_rows import about, answer_rows, folded_rows, plain_rows, prompt_rows

if TYPE_CHECKING:
    from textual.widget import Widget

    from edgelora.chat.tree import Exchange
    from edgelora.tui.rows import Row
    from edgelora.tui.stage import Severity
    from edgelora.tui.widgets.answer import Answer

FOLDED_FROM = 40
"""Lines of a prompt that is shown folded until somebody unfolds it."""


class Item(Protocol):
    """Something in the transcript."""

    @property
    def widget(self) -> Widget | None:
        """What shows it, if it is not drawn."""


class Drawn(Item, Protocol):
    """Something that can be drawn as rows of text."""

    @property
    def looks(self) -> tuple[str, ...]:
        """The component classes of its styles."""

    def rows(self) -> list[Row]:
        """What it says, at least one row."""

    def estimate(self, width: int) -> int:
        """In how many lines of ``width`` cells that goes, about."""


@dataclass(eq=False, slots=True)
class PromptItem:
    """What a person asked; ``exchange`` is known once it is being answered."""

    text: str
    exchange: Exchange | None = None
    folded: bool = False
    widget: None = None

    def __post_init__(self) -> None:
        self.folded = self.text.count("\n") >= FOLDED_FROM

    @property
    def looks(self) -> tuple[str, ...]:
        """As prompts look."""
        return ("messages--prompt",)

    def rows(self) -> list[Row]:
        """Plain text."""
        return prompt_rows(self.text, folded=self.folded)

    def estimate(self, width: int) -> int:
        """By the number of characters."""
        return 2 if self.folded else about(self.text, width)


@dataclass(eq=False, slots=True)
class AnswerItem:
    """An answer. While it is being made it has a widget, which takes what comes."""

    exchange: Exchange
    label: str
    tint: int | None
    number: int = 1
    of: int = 1
    folded: bool = False
    widget: Answer | None = None

    @property
    def looks(self) -> tuple[str, ...]:
        """As answers look, in the colour of the adapter."""
        return ("messages--answer",) if self.tint is None else ("messages--answer", f"messages--tint-{self.tint}")

    @property
    def text(self) -> str:
        """What was answered."""
        return self.exchange.answer

    @property
    def alternatives(self) -> str:
        """Which of the answers to its question it is."""
        return f"‹ {self.number}/{self.of} ›" if self.of > 1 else ""

    @property
    def caption(self) -> str:
        """What made it."""
        from edgelora.tui.widgets.answer import BROKEN_OFF, answer_caption

        made_by = self.exchange.made_by
        return answer_caption(made_by, self.exchange.base.baked) if made_by else BROKEN_OFF

    def rows(self) -> list[Row]:
        """Markdown over the caption."""
        # imported with the first answer, for which the first frame does not wait
        from edgelora.tui.markdown_rows import GrowingMarkdown

        if self.folded:
            return answer_rows(folded_rows(self.text), self.alternatives, self.caption)
        markdown = GrowingMarkdown()
        markdown.append(self.text)
        return answer_rows(markdown.rows, self.alternatives, self.caption)

    def estimate(self, width: int) -> int:
        """By the number of characters."""
        return (1 if self.folded else about(self.text, width)) + 2


@dataclass(eq=False, slots=True)
class RemarkItem:
    """A remark of the program. Errors say what to do."""

    severity: Severity
    text: str
    widget: None = None

    @property
    def looks(self) -> tuple[str, ...]:
        """By how grave it is."""
        return ("messages--remark", f"messages--{self.severity}")

    def rows(self) -> list[Row]:
        """Plain text."""
        return plain_rows(self.text)

    def estimate(self, width: int) -> int:
        """By the number of characters."""
        return about(self.text, width)


@dataclass(eq=False, slots=True)
class WidgetItem:
    """Anything else."""

    widget: Widget


MessageItem = PromptItem | AnswerItem
