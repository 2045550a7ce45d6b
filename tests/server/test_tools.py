"""Calls of tools, found in what a model writes and put before it as its template wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from edgelora.chat.template import ChatTemplate
from edgelora.server.openai.tools import ToolCalls

HERMES = (
    "{% if tools %}Tools:{% for tool in tools %}{{ tool.function.name }};{% endfor %}{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}{% endfor %}"
)
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
CALL = '<tool_call>\n{"name": "look_up", "arguments": {"word": "sea"}}\n</tool_call>'


def read(pieces: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    calls = ToolCalls()
    text = "".join([*map(calls.feed, pieces), calls.finish()])
    return text, [(call["function"]["name"], call["function"]["arguments"]) for call in calls.found]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("written", "text", "names"),
    [
        ("Just text.", "Just text.", []),
        (CALL, "", ["look_up"]),
        (f"Let me see. {CALL}{CALL} Done.", "Let me see.  Done.", ["look_up", "look_up"]),
        ("a <tool_", "a <tool_", []),
        ("a < b <tool_call>no JSON</tool_call> c", "a < b <tool_call>no JSON</tool_call> c", []),
        (CALL.removesuffix("</tool_call>"), "", ["look_up"]),
        ("<tool_call>{", "<tool_call>{", []),
    ],
)
def test_calls_are_found_however_the_text_comes(size: int, written: str, text: str, names: list[str]) -> None:
    pieces = [written[i : i + size] for i in range(0, len(written), size)]
    said, calls = read(pieces)
    assert said == text
    assert [name for name, _ in calls] == names
    assert all(json.loads(arguments) == {"word": "sea"} for _, arguments in calls)


def test_a_template_gets_tools_and_earlier_calls() -> None:
    template = ChatTemplate(HERMES, "a test")
    assert template.takes_tools
    call: dict[str, Any] = {"type": "function", "function": {"name": "look_up", "arguments": {"word": "sea"}}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "What?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "Water.", "tool_call_id": "1"},
    ]
    text = template.render_documents(messages, [TOOL])
    assert text.startswith("Tools:look_up;[user]What?")
    assert '{"name": "look_up", "arguments": {"word": "sea"}}' in text
    assert text.endswith("[tool]Water.")


def test_a_template_without_tools_says_so() -> None:
    assert not ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", "a test").takes_tools
    assert not ChatTemplate("{{ raise_exception('no') }}", "a test").takes_tools
