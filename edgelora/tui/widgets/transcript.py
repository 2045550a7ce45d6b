"""The conversation, from top to bottom, and what can be done with each message."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.message import Message

from edgelora.tui.widgets.items import AnswerItem, MessageItem, PromptItem, RemarkItem, WidgetItem
from edgelora.tui.widgets.message_column import MessageColumn

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events
    from textual.widget import Widget

    from edgelora.chat.tree import Exchange
    from edgelora.tui.stage import Severity
    from edgelora.tui.widgets.answer import Answer
    from edgelora.tui.widgets.messages import Messages

Wish = Literal["again", "edit", "before", "after"]


class Transcript(MessageColumn, can_focus=True):
    """Prompts, answers and remarks. While it has the focus one message is the current one, which keys are about."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "wish('again')", "Ask again", id="messages.again"),
        Binding("e", "wish('edit')", "Edit", id="messages.edit"),
        Binding("c", "copy", "Copy", id="messages.copy"),
        Binding("space", "fold", "Fold", id="messages.fold"),
        Binding("left,less_than_sign", "wish('before')", "Others", key_display="←→", id="messages.before"),
        Binding("right,greater_than_sign", "wish('after')", "After", show=False, id="messages.after"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Scroll up", show=False),
        Binding("pagedown", "page(1)", "Scroll down", show=False),
        Binding("home", "go('start')", "Beginning", show=False),
        Binding("end", "go('end')", "End", show=False),
        Binding("escape", "leave", "Back", id="messages.back"),
    ]

    @dataclass
    class Wished(Message):
        """Something should be done about a message: ask again, edit and send, show another answer to the same."""

        wish: Wish
        exchange: Exchange

    @dataclass
    class Left(Message):
        """The focus should go back, and ``key``, which was pressed here, with it."""

        key: events.Key | None = None

    @dataclass
    class Copied(Message):
        """A message was copied."""

        text: str

    def __init__(self, has_others: Callable[[Exchange], bool], *, id: str) -> None:
        """``has_others`` says whether there are other answers to the question of an exchange."""
        super().__init__(id=id)
        self._has_others = has_others
        self._current: MessageItem | None = None
        self._offered: tuple[bool, bool] | None = None
        self._is_left = False  # for the composer, which has not got the focus yet

    # --- what the conversation is

    async def add(self, widget: Widget) -> None:
        """Anything, at the end."""
        await self.append(WidgetItem(widget))

    async def add_prompt(self, text: str) -> None:
        """What a person asked; from here on the end is followed again."""
        await self.append(PromptItem(text))
        self.follow()

    async def add_answer(self, exchange: Exchange, label: str, tint: int | None, number: int, of: int) -> Answer:
        """An answer that begins under ``label``: ``number`` of those to the same question."""
        from edgelora.tui.widgets.answer import Answer  # with its Markdown, for which the first frame does not wait

        last = next((item for item in reversed(self.items) if isinstance(item, PromptItem)), None)
        if last and last.exchange is None:
            last.exchange = exchange
        answer = Answer(label, tint, exchange.base.baked)
        item = AnswerItem(exchange, label, tint, number, of, widget=answer)
        answer.show_alternatives(item.alternatives)
        await self.append(item)
        if self.has_focus and self._current not in self.items:
            self._choose(item)
        return answer

    async def settle(self) -> None:
        """No answer is being made any more: those that are there are drawn."""
        made = [item for item in self.items if isinstance(item, AnswerItem) and item.widget]
        for item in made:
            item.widget = None
        if made:
            await self.show_items()
            self._show_current()

    async def add_remark(self, severity: Severity, text: str) -> None:
        """A remark; before an answer that has no text yet, since it is about what led to it."""
        at = len(self.items)
        last = self.items[-1] if at else None
        if isinstance(last, AnswerItem) and last.widget and not last.exchange.answer:
            at -= 1
        await self.insert(at, RemarkItem(severity, text))

    async def show_branch(self, items: list[MessageItem]) -> None:
        """Show ``items``, and leave everything alone up to the first message that differs from what is there."""
        shown = [item.exchange for item in self._messages()]
        wanted = [item.exchange for item in items]
        pairs = zip(dict.fromkeys(shown), dict.fromkeys(wanted), strict=False)
        same = {id(a) for a, _ in takewhile(lambda pair: pair[0] is pair[1], pairs)}
        kept = [i for i, item in enumerate(self.items) if isinstance(item, MessageItem) and id(item.exchange) in same]
        await self.remove_from(kept[-1] + 1 if kept else 0, [item for item in items if id(item.exchange) not in same])
        if self._current not in self.items:
            answers = [item for item in self.items if isinstance(item, AnswerItem) and id(item.exchange) not in same]
            self._choose(answers[0] if answers else None)

    async def clear(self) -> None:
        """Take everything away."""
        self._choose(None)
        await self.show(())

    # --- keys

    def on_focus(self) -> None:
        """Something is the current message: the last one, unless somebody scrolled away from it."""
        if self.follows or self._current not in self.items:
            self._choose(self._messages()[-1] if self._messages() else None)

    def watch_has_focus(self, has_focus: bool) -> None:
        """The current message stands out while keys are about it."""
        super().watch_has_focus(has_focus)
        self._show_current()

    def on_click(self, event: events.Click) -> None:
        """An answer that is being made becomes the current message."""
        around = event.widget.ancestors_with_self if event.widget else ()
        found = next((item for item in self._messages() if item.widget in around), None)
        if found:
            self._choose(found)

    def on_messages_clicked(self, message: Messages.Clicked) -> None:
        """What is clicked on becomes the current message."""
        message.stop()
        if isinstance(message.item, MessageItem):
            self._choose(message.item)

    def on_messages_alternative_asked(self, message: Messages.AlternativeAsked) -> None:
        """The arrows of an answer."""
        message.stop()
        self._wish("before" if message.by < 0 else "after", message.item)

    def on_key(self, event: events.Key) -> None:
        """Other letters belong into the composer, and so does all that is pressed before the focus is there."""
        if self._is_left or (event.is_printable and event.character and event.key not in _KEYS):
            event.stop()
            self._is_left = True
            self.post_message(self.Left(event))

    def on_blur(self) -> None:
        """The focus is in the composer, or elsewhere."""
        self._is_left = False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the current message is offered."""
        if action == "wish" and parameters and parameters[0] in ("before", "after"):
            return self._current_has_others()
        if action in ("wish", "copy", "fold"):
            return self._current is not None
        return True

    def action_wish(self, wish: Wish) -> None:
        """Tell the app."""
        if self._current:
            self._wish(wish, self._current)

    def action_copy(self) -> None:
        """Copy the current message as it was written."""
        if self._current:
            text = self._current.text if isinstance(self._current, PromptItem) else self._current.exchange.answer
            self.app.copy_to_clipboard(text)
            self.post_message(self.Copied(text))

    def action_fold(self) -> None:
        """Fold or unfold the current message."""
        item = self._current
        if item:
            item.folded = not item.folded
            if item.widget:
                item.widget.fold(item.folded)
            else:
                self.redraw(item)

    def action_move(self, by: int) -> None:
        """To the message before or after; through one that is higher than the screen first."""
        messages = self._messages()
        if not self._current or self._current not in messages:
            self._choose(messages[-1] if messages else None)
            return
        top, height = self.place_of(self._current)
        bottom, y, seen = top + height, round(self.scroll_y), self.scrollable_content_region.height
        if by < 0 and top < y < bottom:
            self.scroll_to(y=max(top, y - seen // 2), animate=False, immediate=True)
        elif by > 0 and top <= y + seen < bottom:
            self.scroll_to(y=min(bottom - seen, y + seen // 2), animate=False, immediate=True)
        else:
            index = messages.index(self._current) + by
            if index >= len(messages):
                self.post_message(self.Left())
            elif index >= 0:
                self.bring(messages[index], top=by > 0)
                self._choose(messages[index])

    def action_page(self, pages: int) -> None:
        """Scroll."""
        self.page(pages)

    def action_go(self, where: Literal["start", "end"]) -> None:
        """To the first or the last message."""
        messages = self._messages()
        if where == "start":
            self.show_start()
        else:
            self.follow()
        if messages:
            self._choose(messages[0] if where == "start" else messages[-1])

    def action_leave(self) -> None:
        """Back to the composer."""
        self.post_message(self.Left())

    # --- how

    def _messages(self) -> list[MessageItem]:
        return [item for item in self.items if isinstance(item, MessageItem) and item.exchange]

    def _wish(self, wish: Wish, item: MessageItem) -> None:
        if item.exchange:
            self.post_message(self.Wished(wish, item.exchange))

    def _choose(self, item: MessageItem | None) -> None:
        self._current = item
        self._show_current()
        offered = item is not None, self._current_has_others()
        if offered != self._offered:  # making the footer anew takes longer than a page
            self._offered = offered
            self.refresh_bindings()

    def _show_current(self) -> None:
        for messages in self.drawing():
            is_here = self.has_focus and self._current in messages.items
            messages.light(self._current if is_here else None)
        for item in self.items:
            if item.widget:
                item.widget.set_class(item is self._current, "-current")

    def _current_has_others(self) -> bool:
        exchange = self._current.exchange if self._current else None
        return exchange is not None and self._has_others(exchange)


_KEYS = ("space", "less_than_sign", "greater_than_sign", "r", "e", "c")
