"""A conversation: values that are replaced, never changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgelora.chat.messages import Message

if TYPE_CHECKING:
    from edgelora.types import Finished


@dataclass(frozen=True, slots=True)
class Turn:
    """What a person asked, what was answered, and what made the answer."""

    prompt: str
    answer: str
    made_by: Finished


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns under one system prompt. The ``left_out`` oldest turns are no longer sent, because the context is full."""

    system: str = ""
    turns: tuple[Turn, ...] = ()
    left_out: int = 0

    def messages(self, prompt: str | None = None) -> list[Message]:
        """What a template renders: system prompt, the turns that still fit, and a new ``prompt``."""
        sent = [Message("system", self.system)] if self.system else []
        for turn in self.turns[self.left_out :]:
            sent += [Message("user", turn.prompt), Message("assistant", turn.answer)]
        return sent if prompt is None else [*sent, Message("user", prompt)]

    def with_turn(self, turn: Turn) -> Conversation:
        """This conversation and one more turn."""
        return replace(self, turns=(*self.turns, turn))

    def leaving_out(self, turns: int) -> Conversation:
        """This conversation without its ``turns`` oldest."""
        return replace(self, left_out=turns)
