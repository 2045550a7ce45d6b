"""From the messages of a request to the tokens of its prompt, as `edgelora run` writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edgelora.chat.prompt import template_tokens
from edgelora.errors import EdgeloraError
from edgelora.server.answers import Prompt
from edgelora.server.errors import ApiError
from edgelora.server.json_grammar import any_object, schema_grammar
from edgelora.server.prompts import require_fitting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.chat.resolved import ResolvedSelection
    from edgelora.chat.template import ChatTemplate
    from edgelora.server.choosing import Choice
    from edgelora.server.host import Host
    from edgelora.server.openai.requests import ChatMessage, ChatRequest, ResponseFormat


async def chat_prompt(host: Host, choice: Choice, asked: ChatRequest) -> Prompt:
    """The prompt for the next message. Raises ApiError."""
    resolved = choice.resolved
    require_fitting(host, sum(len(one.text) for one in asked.messages), param="messages")
    try:
        template = await host.template(resolved.templates)
        tools = _tools(template, asked)
        messages = _with_system(host, resolved, [_message(one) for one in asked.messages])
        tokens = await template_tokens(host.engine, messages, template, tools=tools)
        ends = await _end_tokens(host, resolved)
        grammar = _grammar(asked.response_format)
    except EdgeloraError as error:
        raise host.failure(error, param="messages") from None
    more: dict[str, Any] = {"grammar": grammar, "stop_tokens": ends}
    if asked.logprobs or asked.top_logprobs:
        more["logprobs"] = asked.top_logprobs or 0
    if asked.max_completion_tokens is not None:
        more["max_tokens"] = asked.max_completion_tokens
    sampling = asked.model_copy(update={"max_tokens": None} if "max_tokens" in more else {}).sampling(
        host.sampling(resolved.sampling), host.engine.base.n_vocab, **more
    )
    return Prompt(tokens, replace(sampling, stop=(*sampling.stop, *template.stop)))


def _message(said: ChatMessage) -> dict[str, Any]:
    """As templates know it: the developer is the system, arguments of calls are objects."""
    role = "system" if said.role == "developer" else said.role
    message: dict[str, Any] = {"role": role, "content": said.text}
    if said.name:
        message["name"] = said.name
    if said.tool_call_id:
        message["tool_call_id"] = said.tool_call_id
    if said.tool_calls:
        message["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.function.name, "arguments": arguments}}
            for call in said.tool_calls
            for arguments in [_arguments(call.function.arguments)]
        ]
    return message


def _arguments(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _with_system(host: Host, resolved: ResolvedSelection, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``messages`` with the server's system prompt, the adapter's, or that in the base, where they bring none."""
    if any(message["role"] == "system" for message in messages):
        return messages
    of_adapters = resolved.system_prompts[0] if len(set(resolved.system_prompts)) == 1 else ""
    system = host.options.system or of_adapters or host.engine.base.system_prompt
    return [{"role": "system", "content": system}, *messages] if system else messages


async def _end_tokens(host: Host, resolved: ResolvedSelection) -> tuple[int, ...]:
    """Tokens that the adapters, selected or in the weights of the base, end their answers with."""
    texts = dict.fromkeys((*resolved.end_tokens, *host.engine.base.end_tokens))
    found = [await host.engine.tokenize(text) for text in texts]
    return tuple(tokens[0] for tokens in found if len(tokens) == 1)


def _tools(template: ChatTemplate, asked: ChatRequest) -> Sequence[dict[str, Any]] | None:
    if not asked.tools or asked.tool_choice == "none":
        return None
    if not template.takes_tools:
        raise ApiError(400, f"the chat template of {template.origin} knows no tools", "unsupported", param="tools")
    return [tool.model_dump(exclude_none=True) for tool in asked.tools]


def _grammar(form: ResponseFormat | None) -> str | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return any_object()
    if form.json_schema is None or form.json_schema.schema_ is None:
        raise ApiError(400, "the schema is missing", "invalid_value", param="response_format.json_schema.schema")
    return schema_grammar(form.json_schema.schema_)
