"""What the transcript holds: light values, of which only those near the viewport have a widget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.tui.widgets.prompt import Prompt
from edgelora.tui.widgets.remark import Remark

if TYPE_CHECKING:
    from textual.widget import Widget

    from edgelora.chat.tree import Exchange
    from edgelora.tui.stage import Severity

FOLDED_FROM = 40
"""Lines of a prompt that is shown folded until somebody unfolds it."""


@dataclass(eq=False, slots=True)
class PromptItem:
    """What a person asked; ``exchange`` is known once it is being answered."""

    text: str
    exchange: Exchange | None = None
    folded: bool = False
    current: bool = False
    lasting: bool = False

    def __post_init__(self) -> None:
        self.folded = self.text.count("\n") >= FOLDED_FROM

    def build(self) -> Widget:
        """A prompt."""
        prompt = Prompt(self.text)
        prompt.fold(self.folded)
        prompt.set_class(self.current, "-current")
        return prompt


@dataclass(eq=False, slots=True)
class AnswerItem:
    """An answer. One that is ``lasting`` is being made: its widget takes what comes."""

    exchange: Exchange
    label: str
    tint: int | None
    number: int = 1
    of: int = 1
    folded: bool = False
    current: bool = False
    lasting: bool = False

    def build(self) -> Widget:
        """An answer, at its end unless it is being made."""
        # its Markdown is imported with the first one, for which the first frame does not wait
        from edgelora.tui.widgets.answer import BROKEN_OFF, Answer, answer_caption

        exchange = self.exchange
        answer = Answer(self.label, self.tint, exchange.base.baked)
        if not self.lasting:
            made_by = exchange.made_by
            caption = answer_caption(made_by, exchange.base.baked) if made_by else BROKEN_OFF
            answer.show_finished(exchange.answer, caption)
        answer.show_alternatives(self.number, self.of)
        answer.fold(self.folded)
        answer.set_class(self.current, "-current")
        return answer


@dataclass(eq=False, slots=True)
class RemarkItem:
    """A remark of the program."""

    severity: Severity
    text: str
    lasting: bool = False

    def build(self) -> Widget:
        """A remark."""
        return Remark(self.severity, self.text)


@dataclass(eq=False, slots=True)
class WidgetItem:
    """Anything else."""

    widget: Widget
    lasting: bool = True

    def build(self) -> Widget:
        """The widget itself."""
        return self.widget


MessageItem = PromptItem | AnswerItem
