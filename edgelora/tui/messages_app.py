"""The part of the chat's app that is about messages: the transcript, its branches, and conversations kept before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import App
from textual.events import Key

from edgelora.tui.widgets.composer import Composer
from edgelora.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from edgelora.chat.tree import Exchange
    from edgelora.tui.branching import Branching
    from edgelora.tui.conductor import Conductor
    from edgelora.tui.conversations import Conversations
    from edgelora.tui.stage import Severity
    from edgelora.tui.state import ChatState
    from edgelora.tui.widgets.answer import Answer


class MessagesApp(App[None], inherit_bindings=False):
    """Has a composer and a transcript, between which the focus goes."""

    state: ChatState
    _conductor: Conductor
    _branching: Branching
    _conversations: Conversations

    def refresh_state(self) -> None:
        """Show the state anew."""

    def on_composer_scroll_asked(self, message: Composer.ScrollAsked) -> None:
        """Page through the transcript while writing."""
        self.query_one(Transcript).action_page(message.pages)

    def on_composer_left(self, message: Composer.Left) -> None:
        """Up from an empty composer: to the messages."""
        self.screen.set_focus(self.query_one(Transcript))

    def on_transcript_left(self, message: Transcript.Left) -> None:
        """Back from the messages."""
        composer = self.query_one(Composer)
        self.screen.set_focus(composer)
        if message.key:
            composer.post_message(Key(message.key.key, message.key.character))

    def on_transcript_copied(self, message: Transcript.Copied) -> None:
        """Say so: the clipboard shows nothing by itself."""
        self.notify(f"Copied {len(message.text):,} characters.", timeout=2)

    def on_transcript_wished(self, message: Transcript.Wished) -> None:
        """Ask again, edit, or show another answer, unless one is being made."""
        exchange = message.exchange
        if not self._conductor.takes_prompts:
            self.say_why_not()
        elif message.wish == "again":
            self.run_worker(self._conductor.ask(exchange.prompt, instead_of=exchange))
        elif message.wish == "edit":
            self._edit(exchange)
        else:
            by = -1 if message.wish == "before" else 1
            self.run_worker(self._branching.show_other(self.query_one(Transcript), exchange, by))

    def say_why_not(self) -> None:
        """Why nothing can be asked now."""
        key = self.state.key
        is_down = self.state.phase == "down"
        down = f"There is no engine; {key('restart')} tries to open it again."
        self.notify(down if is_down else f"An answer is being written; {key('stop')} stops it.", timeout=3)

    def _edit(self, exchange: Exchange | None) -> None:
        """Put a prompt into the composer, which sends it instead of the one there; None: no longer."""
        self.state.editing = exchange
        composer = self.query_one(Composer)
        composer.replace_text(exchange.prompt if exchange else "")
        composer.focus()
        self.refresh_state()

    def action_conversations(self) -> None:
        """Earlier conversations."""
        self.run_worker(self._conversations.browse())

    async def say(self, severity: Severity, text: str) -> None:
        """A remark in the transcript."""
        await self.query_one(Transcript).add_remark(severity, text)

    async def show_prompt(self, prompt: str) -> None:
        """What the person asked."""
        await self.query_one(Transcript).add_prompt(prompt)

    def give_back(self, prompt: str) -> None:
        """Put a prompt into the composer, unless something else was written there."""
        composer = self.query_one(Composer)
        if not composer.text:
            composer.replace_text(prompt)
        composer.focus()

    async def show_conversation(self) -> None:
        """Another conversation, from its end."""
        self.state.editing = None
        await self._branching.show_all(self.query_one(Transcript))
        self.refresh_state()

    async def show_branch(self, head: Exchange | None) -> None:
        """The conversation as far as ``head``."""
        await self.query_one(Transcript).show_branch(self._branching.items(head.branch() if head else ()))

    async def begin_answer(self, exchange: Exchange) -> Answer:
        """An answer under the active pick."""
        pick = self.state.active
        tint = self.state.tint([member.ref for member in pick])
        place = self._branching.place(exchange)
        return await self.query_one(Transcript).add_answer(exchange, self.state.label(pick), tint, *place)
