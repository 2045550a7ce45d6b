"""A chat template: messages in, the text of a prompt out."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from edgelora.chat.messages import Message
from edgelora.chat.sandbox import ChatEnvironment
from edgelora.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROBE = "edgelora-system-probe"
_HINT = "Choose another with --template: chatml, llama3, alpaca, plain, or a file."


class ChatTemplate:
    """A Jinja chat template, compiled. ``origin`` says whose it is, for error messages.

    ``stop`` are texts that end an answer under this template where the model's own end token may not.
    """

    def __init__(
        self, source: str, origin: str, *, bos_token: str = "", eos_token: str = "", stop: tuple[str, ...] = ()
    ) -> None:
        self.source = source
        self.origin = origin
        self.stop = stop
        self._special = {"bos_token": bos_token, "eos_token": eos_token}
        self._environment = ChatEnvironment()
        try:
            self._compiled = self._environment.compile_limited(source)
        except Exception as error:  # Jinja raises syntax errors, and Python's own on hostile nesting
            raise TemplateError(f"the chat template of {origin} cannot be read: {_reason(error)}", _HINT) from error

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """The prompt's text. Raises TemplateError, also where the template refuses these messages.

        A template that leaves the system prompt out, or refuses it, gets it before the first user message.
        """
        if messages and messages[0].role == "system" and not self.takes_system:
            messages = _system_into_user(messages)
        return self._render(messages, add_generation_prompt)

    def render_documents(
        self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None
    ) -> str:
        """The prompt's text for messages with any roles and fields, and tools. Raises TemplateError."""
        if messages and all(message.keys() == {"role", "content"} for message in messages) and not tools:
            return self.render([Message(message["role"], message["content"]) for message in messages])
        return self._render_any(messages, tools, True)

    @cached_property
    def takes_tools(self) -> bool:
        """Whether a tool reaches the prompt, found by trying."""
        function = {"name": _PROBE, "description": "", "parameters": {"type": "object", "properties": {}}}
        try:
            text = self._render_any(
                [{"role": "user", "content": "Hello"}], [{"type": "function", "function": function}], True
            )
        except TemplateError:
            return False
        return _PROBE in text

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message reaches the prompt, found by trying."""
        try:
            return _PROBE in self._render([Message("system", _PROBE), Message("user", "Hello")], True)
        except TemplateError:  # refusing the system role is how many templates say that they have none
            return False

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        documents = [{"role": message.role, "content": message.text} for message in messages]
        return self._render_any(documents, None, add_generation_prompt)

    def _render_any(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        add_generation_prompt: bool,
    ) -> str:
        variables = {
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
            "tools": tools,
            "documents": None,
            **self._special,
        }
        try:
            return self._environment.render_limited(self._compiled, variables)
        except Exception as error:  # whatever the template's code does; a template must not end the chat
            raise TemplateError(f"the chat template of {self.origin} failed: {_reason(error)}", _HINT) from error


@lru_cache(maxsize=32)
def chat_template(
    source: str, origin: str, bos_token: str = "", eos_token: str = "", stop: tuple[str, ...] = ()
) -> ChatTemplate:
    """The ChatTemplate of these arguments, compiled once. Raises TemplateError."""
    return ChatTemplate(source, origin, bos_token=bos_token, eos_token=eos_token, stop=stop)


def _system_into_user(messages: Sequence[Message]) -> list[Message]:
    """``messages`` with the system text put before the first user message's own."""
    system, *rest = messages
    first = next((i for i, message in enumerate(rest) if message.role == "user"), None)
    if first is None:
        return rest
    merged = Message("user", f"{system.text}\n\n{rest[first].text}")
    return [*rest[:first], merged, *rest[first + 1 :]]


def _reason(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    text = str(error) or type(error).__name__
    return f"{text} (line {line})" if line else text
