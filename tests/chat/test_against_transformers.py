"""Templates give the same text here as in Transformers, which adapters are trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgelora.chat.builtin import BUILTIN_TEMPLATES
from edgelora.chat.messages import Message
from edgelora.chat.template import ChatTemplate

pytestmark = pytest.mark.train

DEMO = Path(__file__).parents[2] / "models" / "source" / "base" / "chat_template.jinja"
DIALOGUE = [
    Message("system", "Be <brief> & 'exact' é 漢字 🙂."),
    Message("user", "Hi\n\n  there "),
    Message("assistant", "```python\nprint('{{ x }}')\n```"),
    Message("user", '{% if %} "quoted"\n'),
]
WRITTEN_LIKE_THE_FIELDS = {
    "trimmed blocks, namespaces, json": (
        "{%- set ns = namespace(found=false) %}\n{{- bos_token }}\n"
        "{% for message in messages %}\n"
        "    {%- if loop.index0 == 2 %}{% set ns.found = true %}{% continue %}{% endif %}\n"
        "    {{- '[' ~ message.role|upper ~ '] ' ~ message['content'] | trim }}\n"
        "    {% generation %}{{ message | tojson(indent=2) }}{% endgeneration %}\n"
        "{%- endfor %}\n"
        "{{ ns.found }}{% if add_generation_prompt %}{{ eos_token }}>{% endif %}\n"
    ),
    "tools and slices": (
        "{% if tools %}TOOLS{% endif %}{% for m in messages[0:] %}{{ loop.index0 }}{{ m['content'][:40] }}"
        "{% if not loop.last %}|{% endif %}{% endfor %}{{ messages | length }}{{ messages[0] is mapping }}"
    ),
}


def sources() -> dict[str, str]:
    builtin = {name: template.source for name, template in BUILTIN_TEMPLATES.items()}
    return builtin | WRITTEN_LIKE_THE_FIELDS | {"the demo's": DEMO.read_text(encoding="utf-8")}


@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("name", sources())
def test_the_same_text(name: str, add_generation_prompt: bool) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    source = sources()[name]
    special: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>"}
    conversation = [{"role": message.role, "content": message.text} for message in DIALOGUE]
    theirs, _ = render_jinja_template(
        conversations=[conversation], chat_template=source, add_generation_prompt=add_generation_prompt, **special
    )
    ours = ChatTemplate(source, name, **special).render(DIALOGUE, add_generation_prompt=add_generation_prompt)
    assert ours == theirs[0]
