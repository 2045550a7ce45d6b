"""Templates are untrusted code: they reach nothing and end in bounded time and space."""

from __future__ import annotations

import pytest

from edgelora.chat.messages import Message
from edgelora.chat.sandbox import MAX_OUTPUT
from edgelora.chat.template import ChatTemplate
from edgelora.errors import TemplateError

HELLO = [Message("user", "Hello")]

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__init__.__globals__ }}",
    "{{ ''|attr('__class__') }}{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ raise_exception.__globals__['json'] }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ messages.append({}) }}",
    "{{ messages[0].update(role='system') }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "{% set ns = namespace(__call__=raise_exception) %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{{ self.__init__ .__globals__ }}",
    "{{ cycler.__init__.__globals__.os }}",
]

ENDLESS = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{% for a in range(99999) %}" + "x" * 1000 + "{% endfor %}",
    "{{ 'x' * 10 ** 9 }}",
    "{{ 10 ** (10 ** 9) }}",
    "{{ messages * 10 ** 9 }}",
    "{{ range(10 ** 9) | list }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_an_escape_is_refused_or_writes_nothing_of_python(source: str) -> None:
    try:
        text = ChatTemplate(source, "the base").render(HELLO)
    except TemplateError:
        return
    assert not any(secret in text for secret in ("<class", "function", "module", "root:"))


@pytest.mark.parametrize("source", ENDLESS)
def test_a_template_without_end_is_ended(source: str) -> None:
    with pytest.raises(TemplateError, match="failed"):
        ChatTemplate(source, "the base").render(HELLO)


def test_the_limits_count_one_rendering_and_not_all_of_them() -> None:
    template = ChatTemplate("{% for i in range(60000) %}{% endfor %}done", "the base")
    assert [template.render(HELLO) for _ in range(3)] == ["done"] * 3


def test_long_messages_are_no_attack() -> None:
    long = "word " * (MAX_OUTPUT // 10)
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", "the base")
    assert template.render([Message("user", long)]) == long
