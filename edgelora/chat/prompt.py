"""From messages to the tokens of a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.chat.messages import Message
    from edgelora.chat.template import ChatTemplate
    from edgelora.engine.client import EngineClient


async def prompt_tokens(
    engine: EngineClient, messages: Sequence[Message], template: ChatTemplate, *, add_generation_prompt: bool = True
) -> tuple[int, ...]:
    """The prompt for ``messages``. Raises TemplateError.

    A base whose vocabulary asks for a BOS token gets exactly one, whether or not the template writes it.
    """
    return await _tokens(engine, template.render(messages, add_generation_prompt=add_generation_prompt))


async def template_tokens(
    engine: EngineClient,
    messages: Sequence[dict[str, Any]],
    template: ChatTemplate,
    *,
    tools: Sequence[dict[str, Any]] | None = None,
) -> tuple[int, ...]:
    """The prompt for messages and tools as OpenAI's clients write them. Raises TemplateError."""
    return await _tokens(engine, template.render_documents(messages, tools))


async def _tokens(engine: EngineClient, text: str) -> tuple[int, ...]:
    tokens = await engine.tokenize(text)
    bos = (await engine.tokenize("", add_special=True))[:1]
    return tokens if tokens[:1] == bos else bos + tokens
