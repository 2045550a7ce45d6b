"""Branches as the transcript shows them: answers asked again, prompts edited, one alternative instead of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.tui.picks import made_by_label
from edgelora.tui.widgets.items import AnswerItem, MessageItem, PromptItem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora.chat.tree import Exchange, Tree
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.continuing import Continuing
    from edgelora.tui.state import ChatState
    from edgelora.tui.widgets.transcript import Transcript


class Branching:
    """Between the conversation's tree and the transcript, which shows one branch of it."""

    def __init__(self, state: ChatState, conductor: Conductor, continuing: Continuing) -> None:
        self._state = state
        self._conductor = conductor
        self._continuing = continuing

    @property
    def _tree(self) -> Tree:
        return self._conductor.keeping.tree

    def items(self, exchanges: Iterable[Exchange]) -> list[MessageItem]:
        """Prompts, and answers where there are any."""
        found: list[MessageItem] = []
        for exchange in exchanges:
            found.append(PromptItem(exchange.prompt, exchange))
            if exchange.answer.strip() or exchange.made_by:
                found.append(self.answer_item(exchange))
        return found

    def answer_item(self, exchange: Exchange) -> AnswerItem:
        """An answer that was made before."""
        made_by = exchange.made_by.adapters if exchange.made_by else ()
        tint = self._state.tint([adapter.name for adapter in made_by or exchange.base.baked])
        number, of = self.place(exchange)
        return AnswerItem(exchange, made_by_label(made_by, exchange.base.baked), tint, number, of)

    def has_others(self, exchange: Exchange) -> bool:
        """Whether there are other answers to its question."""
        return any(other is not exchange for other in self._alternatives(exchange))

    def place(self, exchange: Exchange) -> tuple[int, int]:
        """Which of how many answers to its question it is."""
        others = self._alternatives(exchange)
        return others.index(exchange) + 1 if exchange in others else 0, len(others)

    async def show_all(self, transcript: Transcript) -> None:
        """The branch in use, from its end."""
        await transcript.show(self.items(self._tree.shown()))

    async def show_other(self, transcript: Transcript, exchange: Exchange, by: int) -> None:
        """Another answer to the same question, and what followed it; the conversation goes on from there."""
        others = self._alternatives(exchange)
        at = others.index(exchange) + by if exchange in others else min(by, 0)
        if exchange in others and not 0 <= at < len(others):
            return
        end = self._tree.end_of(others[at])
        await transcript.show_branch(self.items(end.branch()))
        await self._continuing.go_on_from(end if end.made_by else end.parent)

    def _alternatives(self, exchange: Exchange) -> list[Exchange]:
        return self._tree.alternatives(exchange)
