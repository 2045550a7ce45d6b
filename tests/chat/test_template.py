"""What templates may use, and what happens where they do not take a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelora.chat.builtin import BUILTIN_TEMPLATES
from edgelora.chat.messages import Message
from edgelora.chat.template import ChatTemplate
from edgelora.errors import TemplateError

DIALOGUE = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Bye")]

GEMMA_LIKE = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
)
SILENT = "{% for m in messages %}{% if m.role != 'system' %}<{{ m.role }}>{{ m.content }}</>{% endif %}{% endfor %}"


def builtin(name: str) -> ChatTemplate:
    return ChatTemplate(BUILTIN_TEMPLATES[name].source, name, eos_token="</s>")


def test_chatml_writes_the_documented_format() -> None:
    assert builtin("chatml").render(DIALOGUE) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("name", BUILTIN_TEMPLATES)
def test_a_conversation_is_the_beginning_of_its_continuation(name: str) -> None:
    """What re-reading computes must be a prefix of the next prompt, or its KV would be of no use."""
    template = builtin(name)
    before = template.render(DIALOGUE[:3], add_generation_prompt=False)
    assert template.render(DIALOGUE).startswith(before)


@given(st.text(st.characters(exclude_categories=["Cs"])))
@pytest.mark.parametrize("name", BUILTIN_TEMPLATES)
def test_text_of_any_script_arrives_unchanged(name: str, text: str) -> None:
    rendered = builtin(name).render([Message("user", f"<{text}>")])
    assert f"<{text}>" in rendered


@pytest.mark.parametrize("source", [GEMMA_LIKE, SILENT])
def test_a_system_prompt_goes_before_the_first_user_message_where_it_has_no_place(source: str) -> None:
    template = ChatTemplate(source, "the base", bos_token="<s>")
    assert not template.takes_system
    assert "<user>Be brief.\n\nHi</><assistant>Yes?</><user>Bye</>" in template.render(DIALOGUE)


def test_what_templates_of_the_field_use_is_there() -> None:
    source = (
        "{%- set ns = namespace(n=0) -%}\n"
        "{% for m in messages %}\n"
        "    {% if loop.index0 > 2 %}{% break %}{% endif %}\n"
        "    {% set ns.n = ns.n + 1 %}\n"
        "    {% generation %}\n{{ m | tojson }}\n    {% endgeneration %}\n"
        "{% endfor %}\n"
        "{{ ns.n }}{{ bos_token }}{{ eos_token }}{{ strftime_now('%Y')[:2] }}{{ tools is none }}"
    )
    rendered = ChatTemplate(source, "it", bos_token="<s>", eos_token="</s>").render(
        [Message("user", "a <b> & 'c' é"), Message("assistant", "x"), Message("user", "y"), Message("assistant", "z")]
    )
    assert '{"role": "user", "content": "a <b> & \'c\' é"}' in rendered
    assert rendered.endswith("3<s></s>20True")


def test_errors_name_the_template_and_the_line() -> None:
    with pytest.raises(TemplateError, match=r"of my\.jinja cannot be read: .*line 2"):
        ChatTemplate("fine\n{% if %}", r"my.jinja")
    with pytest.raises(TemplateError, match=r"of the base failed: only users"):
        ChatTemplate("{{ raise_exception('only users') }}", "the base").render(DIALOGUE)
