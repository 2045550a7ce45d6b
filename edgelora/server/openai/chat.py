"""POST /v1/chat/completions."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgelora.server.answers import begin
from edgelora.server.bodies import read_model
from edgelora.server.choosing import choose
from edgelora.server.openai.forms import Envelope, chat_logprobs, usage
from edgelora.server.openai.limits import require_few
from edgelora.server.openai.prompts import chat_prompt
from edgelora.server.openai.requests import ChatRequest
from edgelora.server.openai.tools import ToolCalls
from edgelora.server.openai.work import Work, nth_seed, respond
from edgelora.server.routing import host_of, tenant_of
from edgelora.types import Finished, Token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.server.host import Host
    from edgelora.types import TokenLogprob


@dataclass
class _Chat(Work):
    asked: ChatRequest


@dataclass
class _Message:
    """One answer while it grows."""

    calls: ToolCalls | None
    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)

    def feed(self, text: str) -> str:
        """More of it; what of that is text."""
        said = self.calls.feed(text) if self.calls else text
        self.text += said
        return said

    def finish(self) -> str:
        said = self.calls.finish() if self.calls else ""
        self.text += said
        return said

    def reason(self, made: Finished) -> str:
        return "tool_calls" if self.calls and self.calls.found else _reason(made)

    def document(self) -> dict[str, Any]:
        calls = self.calls.found if self.calls else []
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.text or (None if calls else ""),
            "refusal": None,
        }
        return message | ({"tool_calls": [_without_index(call) for call in calls]} if calls else {})


async def chat_completions(request: Request) -> Response:
    """Answer messages, streamed or not."""
    host = host_of(request)
    asked = await read_model(request, host.options, ChatRequest)
    return await respond(request, _begin(host, request, asked), _stream if asked.stream else None, _whole)


async def _begin(host: Host, request: Request, asked: ChatRequest) -> _Chat:
    require_few(host, asked.choices)
    choice = await choose(host, tenant_of(request), asked.model, asked.scales)
    prompt = await chat_prompt(host, choice, asked)
    begun = await begin(
        host, choice, [replace(prompt, sampling=nth_seed(prompt.sampling, i)) for i in range(asked.choices)]
    )
    model = asked.model or choice.text
    envelope = Envelope("chatcmpl", "chat.completion", model, begun.weights, begun.adapters)
    return _Chat(host, begun, envelope, asked)


def _messages(chat: _Chat) -> list[_Message]:
    tools = chat.asked.tools and chat.asked.tool_choice != "none"
    return [_Message(ToolCalls() if tools else None) for _ in range(chat.asked.choices)]


async def _whole(chat: _Chat) -> dict[str, Any]:
    messages, ends = _messages(chat), dict[int, Finished]()
    async with aclosing(chat.begun.events()) as events:
        async for index, event in events:
            if isinstance(event, Token):
                messages[index].feed(event.text)
                messages[index].logprobs.extend(event.logprobs)
            else:
                messages[index].finish()
                ends[index] = event
    choices = [_choice(chat, i, message, ends[i]) for i, message in enumerate(messages)]
    made = [ends[i] for i in range(len(messages))]
    return chat.envelope.document(choices, usage=usage(made), edgelora=chat.made_by(made[0]))


def _choice(chat: _Chat, index: int, message: _Message, made: Finished) -> dict[str, Any]:
    logprobs = chat_logprobs(message.logprobs) if chat.asked.logprobs else None
    reason = message.reason(made)
    return {"index": index, "message": message.document(), "logprobs": logprobs, "finish_reason": reason}


async def _stream(chat: _Chat) -> AsyncGenerator[dict[str, Any], None]:
    messages, ends = _messages(chat), list[Finished]()
    for index in range(len(messages)):
        yield _chunk(chat, index, {"role": "assistant", "content": ""})
    async with aclosing(chat.begun.events()) as events:
        async for index, event in events:
            message = messages[index]
            if isinstance(event, Token):
                if said := message.feed(event.text):
                    yield _chunk(chat, index, {"content": said}, event.logprobs)
                continue
            ends.append(event)
            if said := message.finish():
                yield _chunk(chat, index, {"content": said})
            if message.calls and message.calls.found:
                yield _chunk(chat, index, {"tool_calls": message.calls.found})
            last = _chunk(chat, index, {}, reason=message.reason(event))
            yield last | {"edgelora": chat.made_by(event)}
    if chat.asked.wants_usage:
        yield chat.envelope.document([], kind="chat.completion.chunk", usage=usage(ends))


def _chunk(
    chat: _Chat,
    index: int,
    delta: dict[str, Any],
    logprobs: tuple[TokenLogprob, ...] = (),
    reason: str | None = None,
) -> dict[str, Any]:
    told = chat_logprobs(logprobs) if chat.asked.logprobs and logprobs else None
    choice = {"index": index, "delta": delta, "logprobs": told, "finish_reason": reason}
    more = {"usage": None} if chat.asked.wants_usage else {}
    return chat.envelope.document([choice], kind="chat.completion.chunk", **more)


def _reason(made: Finished) -> str:
    return "length" if made.reason == "length" else "stop"


def _without_index(call: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in call.items() if key != "index"}
