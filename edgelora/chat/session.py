"""One conversation on one engine, without a user interface: ask, read again under another selection, stop."""

from __future__ import annotations

from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4
from weakref import WeakSet

from edgelora.chat.conversation import Conversation, Turn
from edgelora.chat.window import Window
from edgelora.errors import EdgeloraError
from edgelora.types import Failed, Finished, Request, RequestEvent, SamplingParams, Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.engine.client import EngineClient


@dataclass(frozen=True, slots=True)
class Loading:
    """An adapter is being made resident, because it was not loaded on this engine before."""

    name: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know about how the prompt is written; said once."""

    text: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """``turns`` more of the oldest turns are not sent any more, ``total`` in all."""

    turns: int
    total: int


CHARACTERS = 16
"""More than a token stands for on average, in any text that people write."""

SessionEvent = RequestEvent | Loading | Notice | LeftOut


class ChatSession:
    """Keeps the conversation and turns questions into requests. One request at a time."""

    def __init__(
        self, engine: EngineClient, *, sampling: SamplingParams, template: str | None = None, system: str = ""
    ) -> None:
        """``template`` is a built-in's name or a file; it wins over what adapter and base carry, as ``system`` does."""
        self.conversation = Conversation()
        self.system = system
        self.sampling = sampling
        self._template = template
        self._request, self._stopping = "", False
        self._said: set[str] = set()
        self._forks: WeakSet[ChatSession] = WeakSet()
        self.use(engine)

    def use(self, engine: EngineClient) -> None:
        """Go on with ``engine``, one that was opened after the former died."""
        self.engine = engine
        self._loaded: set[str] = set()

    def start_over(self) -> None:
        """Begin a new conversation."""
        self.go_on_from(())

    def go_on_from(self, turns: tuple[Turn, ...]) -> None:
        """The conversation is ``turns`` now: another one, or another branch.

        What can never fit into the context is left out before anything is tokenized.
        """
        self.conversation = Conversation(turns=turns, left_out=_beyond(turns, CHARACTERS * self.engine.base.ctx))

    def fork(self, seed: int, sampling: SamplingParams | None = None) -> ChatSession:
        """Another session that goes on from this conversation at the same time. :meth:`stop` stops it too.

        It samples as this one where no other ``sampling`` is given, with ``seed`` where none was asked for.
        """
        fork = copy(self)
        fork._request, fork._forks = "", WeakSet()
        fork.sampling = sampling or self.sampling
        if fork.sampling.seed is None:
            fork.sampling = replace(fork.sampling, seed=seed)
        self._forks.add(fork)
        return fork

    def ahead(self) -> ChatSession:
        """A fork to read ahead with: what should be said about the prompt is left for this session to say."""
        fork = self.fork(seed=0)
        fork._said = set()
        return fork

    async def ask(self, prompt: str, resolved: ResolvedSelection) -> AsyncGenerator[SessionEvent, None]:
        """Answer ``prompt`` under a selection. Nothing is raised: the last event is Finished or Failed.

        An answer with any text becomes a turn of the conversation, also one that was stopped.
        """
        text = ""
        async with aclosing(self._run(prompt, resolved)) as events:
            async for event in events:
                if isinstance(event, Token):
                    text += event.text
                elif isinstance(event, Finished) and text.strip():
                    self.conversation = self.conversation.with_turn(Turn(prompt, text, event))
                yield event

    def reread(self, resolved: ResolvedSelection) -> AsyncGenerator[SessionEvent, None]:
        """Load a selection and compute the conversation so far under it, so that its next answer starts at once.

        Ends like :meth:`ask`, or after the loading where there is nothing to read yet.
        """
        return self._run(None, resolved)

    async def stop(self) -> None:
        """Cancel what is running, in forks too; it ends with Finished, reason "cancelled"."""
        self._stopping = True
        await self.engine.cancel(self._request)
        for fork in list(self._forks):
            await fork.stop()

    async def _run(self, prompt: str | None, resolved: ResolvedSelection) -> AsyncGenerator[SessionEvent, None]:
        from edgelora.chat.choice import choose_template  # Jinja: the chat's first frame does not wait for it

        self._request, self._stopping = f"chat-{uuid4().hex}", False
        try:
            async for loading in self._load(resolved):
                yield loading
            choice = choose_template(self._template, resolved.templates, self.engine.base)
            before = self.conversation.left_out
            spoken = replace(self.conversation, system=self._system_prompt(resolved))
            fitted = await Window(self.engine, choice.template, self.sampling.max_tokens).fit(spoken, prompt)
            end_tokens = await self._end_tokens(resolved)
        except EdgeloraError as error:
            yield Failed(self._request, error)
            return
        self.conversation = fitted.conversation
        for said in self._remarks(choice.notice, before):
            yield said
        if not fitted.tokens:
            return
        sampling = self.sampling if prompt is not None else replace(self.sampling, max_tokens=0)
        sampling = replace(sampling, stop=(*sampling.stop, *choice.template.stop), stop_tokens=end_tokens)
        request = Request(self._request, fitted.tokens, resolved.selection, sampling, background=prompt is None)
        async with aclosing(self._generate(request)) as events:
            async for event in events:
                yield event

    async def _load(self, resolved: ResolvedSelection) -> AsyncGenerator[Loading, None]:
        for file in resolved.files:
            if file.sha256 not in self._loaded:
                yield Loading(file.name)
                await self.engine.load(file)
                self._loaded.add(file.sha256)

    def _system_prompt(self, resolved: ResolvedSelection) -> str:
        """The one that was asked for, the adapter's, or that of an adapter in the weights of the base."""
        return self.system or _common(resolved.system_prompts) or self.engine.base.system_prompt

    async def _end_tokens(self, resolved: ResolvedSelection) -> tuple[int, ...]:
        """Tokens that the adapters, selected or in the weights of the base, end their answers with.

        What is no single token here cannot be meant.
        """
        texts = dict.fromkeys((*resolved.end_tokens, *self.engine.base.end_tokens))
        found = [await self.engine.tokenize(text) for text in texts]
        return tuple(tokens[0] for tokens in found if len(tokens) == 1)

    def _remarks(self, notice: str, left_out_before: int) -> Iterator[SessionEvent]:
        notices = [notice]
        if self.conversation.system != self.system:
            notices.append("The adapter's own system prompt is used; --system gives another one.")
        for text in notices:
            if text and text not in self._said:
                self._said.add(text)
                yield Notice(text)
        total = self.conversation.left_out
        if total > left_out_before:
            yield LeftOut(total - left_out_before, total)

    async def _generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        ended = False
        try:
            async for event in self.engine.generate(request):
                ended = isinstance(event, Finished | Failed)
                yield event
                if self._stopping and not ended:  # asked to stop before the engine knew the request
                    await self.engine.cancel(request.id)
        finally:
            if not ended:  # whoever listened went away
                await self.engine.cancel(request.id)


def _beyond(turns: Sequence[Turn], characters: int) -> int:
    """How many of the oldest turns lie before the newest ``characters``."""
    for left_out in range(len(turns), 0, -1):
        characters -= len(turns[left_out - 1].prompt) + len(turns[left_out - 1].answer)
        if characters < 0:
            return left_out
    return 0


def _common(texts: Sequence[str]) -> str:
    """The text that all agree on; nothing where they do not."""
    return texts[0] if len(set(texts)) == 1 else ""
