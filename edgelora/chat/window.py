"""Fitting a conversation into the context by leaving out its oldest turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.chat.prompt import prompt_tokens
from edgelora.errors import ContextOverflowError

if TYPE_CHECKING:
    from edgelora.chat.conversation import Conversation
    from edgelora.chat.template import ChatTemplate
    from edgelora.engine.client import EngineClient

KEPT = 0.6
"""How much of the room for turns is used after some were left out. Going further than needed keeps the prompt's
beginning, and so the KV that was computed for it, the same for the turns that follow."""
ANSWER_SHARE = 4
ANSWER_TOKENS = 512
"""An answer is kept 512 tokens of the context, or a quarter where that is less."""
LEAST_ANSWER = 16
"""A prompt that leaves fewer tokens than this for the answer is refused."""


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """The tokens to send, and the conversation they were made from, which may have left out more turns."""

    tokens: tuple[int, ...]
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Window:
    """What fits: an engine's context, and how it is written. ``answer`` is the longest answer asked for."""

    engine: EngineClient
    template: ChatTemplate
    answer: int | None = None

    @property
    def room(self) -> int:
        """Tokens that a prompt may take without leaving anything out."""
        share = min(ANSWER_TOKENS, self.engine.base.ctx // ANSWER_SHARE)
        return self.engine.base.ctx - (share if self.answer is None else min(share, self.answer))

    async def fit(self, conversation: Conversation, prompt: str | None) -> FittedPrompt:
        """``conversation`` and ``prompt`` in as many tokens as there is room for.

        Turns go from the oldest on; the system prompt and the new message stay. Raises ContextOverflowError where
        these two alone leave no room for an answer, and TemplateError. Without a new message there may be nothing left.
        """
        whole = await self._at(conversation, prompt)
        if len(whole.tokens) <= self.room:
            return whole
        most = len(conversation.turns)
        least = await self._at(conversation.leaving_out(most), prompt)
        if len(least.tokens) > self.engine.base.ctx - LEAST_ANSWER:
            raise self._too_long(len(least.tokens))
        target = len(least.tokens) + KEPT * (self.room - len(least.tokens))
        low, high, fitted = conversation.left_out + 1, most, least
        while low < high:  # the least number of turns to leave out, by bisection: more turns, more tokens
            middle = (low + high) // 2
            tried = await self._at(conversation.leaving_out(middle), prompt)
            if len(tried.tokens) <= target:
                high, fitted = middle, tried
            else:
                low = middle + 1
        return fitted

    async def _at(self, conversation: Conversation, prompt: str | None) -> FittedPrompt:
        if prompt is None and conversation.left_out == len(conversation.turns):
            return FittedPrompt((), conversation)  # many templates refuse to render no message at all
        messages = conversation.messages(prompt)
        tokens = await prompt_tokens(self.engine, messages, self.template, add_generation_prompt=prompt is not None)
        return FittedPrompt(tokens, conversation)

    def _too_long(self, tokens: int) -> ContextOverflowError:
        ctx = self.engine.base.ctx
        return ContextOverflowError(
            f"this message and the system prompt take {tokens:,} tokens, and the context holds {ctx:,}",
            "Shorten the message, or start with a larger --ctx.",
        )
