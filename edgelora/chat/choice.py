"""Which chat template a prompt is written with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.chat.builtin import BUILTIN_TEMPLATES
from edgelora.chat.special_tokens import SpecialTokens, special_tokens
from edgelora.chat.template import ChatTemplate, chat_template
from edgelora.config.locations import expanded
from edgelora.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.types import BaseInfo

FALLBACK = "plain"
_MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class TemplateChoice:
    """A template, and a notice where a person should know why it is this one."""

    template: ChatTemplate
    notice: str = ""


def choose_template(explicit: str | None, adapters: Sequence[str], base: BaseInfo) -> TemplateChoice:
    """The template for a prompt: ``explicit`` (a built-in name or a file), the adapter's, the base's, a plain one.

    ``adapters`` are the sources that the selected adapters carry. Raises TemplateError, and GGUFError where
    the base cannot be read any more.
    """
    if explicit is not None:
        return TemplateChoice(_explicit(explicit, base))
    carried = set(adapters)
    if len(carried) == 1:
        return TemplateChoice(_compiled(carried.pop(), "the adapter", base))
    disagree = "The selected adapters carry different chat templates" if carried else ""
    if base.chat_template:
        notice = f"{disagree}; the base's own is used." if disagree else ""
        return TemplateChoice(_compiled(base.chat_template, "the base", base), notice)
    reason = disagree or "This base carries no chat template"
    notice = f"{reason}; a plain one is used. Choose with --template: {', '.join(BUILTIN_TEMPLATES)}, or a file."
    return TemplateChoice(_builtin(FALLBACK, base), notice)


def _explicit(name: str, base: BaseInfo) -> ChatTemplate:
    if name in BUILTIN_TEMPLATES:
        return _builtin(name, base)
    path, hint = expanded(name), f"Give a file, or one of {', '.join(BUILTIN_TEMPLATES)}."
    try:
        if path.stat().st_size > _MAX_FILE:
            raise TemplateError(f"the chat template {path} is larger than {_MAX_FILE:,} bytes")
        source = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise TemplateError(f"no chat template {name!r}: {reason}", hint) from error
    if not source.strip():
        raise TemplateError(f"the chat template {path} is empty", hint)
    return _compiled(source, str(path), base)


def _builtin(name: str, base: BaseInfo) -> ChatTemplate:
    builtin = BUILTIN_TEMPLATES[name]
    return _compiled(builtin.source, f"{name} (built in)", base, builtin.stop)


def _compiled(source: str, origin: str, base: BaseInfo, stop: tuple[str, ...] = ()) -> ChatTemplate:
    names_one = "bos_token" in source or "eos_token" in source
    special = special_tokens(base.path) if names_one else SpecialTokens()
    return chat_template(source, origin, special.bos, special.eos, stop)
