"""Chat templates of our own for files that carry none, by the names of the formats they write.

They write no BOS token: a prompt gets the one its base wants (:func:`edgelora.chat.prompt.prompt_tokens`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuiltinTemplate:
    """A template's source, and the texts that end an answer written in it."""

    source: str
    stop: tuple[str, ...]


_CHATML = """\
{% for message in messages %}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}
{%- endif %}"""

_LLAMA3 = """\
{% for message in messages %}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}"""

_ALPACA = """\
{% if messages and messages[0].role == 'system' %}
{{ messages[0].content + '\n\n' }}
{%- else %}
{{ 'Below is an instruction that describes a task. '
   + 'Write a response that appropriately completes the request.\n\n' }}
{%- endif %}
{% for message in messages %}
{% if message.role == 'user' %}
{{ '### Instruction:\n' + message.content + '\n\n' }}
{%- elif message.role == 'assistant' %}
{{ '### Response:\n' + message.content + eos_token + '\n\n' }}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '### Response:\n' }}
{%- endif %}"""

_PLAIN = """\
{% for message in messages %}
{% if message.role == 'system' %}
{{ message.content + '\n\n' }}
{%- else %}
{{ ('User: ' if message.role == 'user' else 'Assistant: ') + message.content | trim + '\n' }}
{%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ 'Assistant:' }}
{%- endif %}"""

BUILTIN_TEMPLATES = {
    "chatml": BuiltinTemplate(_CHATML, ("<|im_end|>",)),
    "llama3": BuiltinTemplate(_LLAMA3, ("<|eot_id|>",)),
    "alpaca": BuiltinTemplate(_ALPACA, ("### Instruction:",)),
    "plain": BuiltinTemplate(_PLAIN, ("\nUser:",)),
}
