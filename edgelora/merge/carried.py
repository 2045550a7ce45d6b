"""What adapters carry beside their changes, as metadata of the file that they are merged into.

So that whoever opens it, here or in another program of llama.cpp, writes prompts as at run time, and stops where the
adapters stop. The rules are those of run time: what all that carry something agree on is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora_convert.agreement import end_tokens, own_template
from edgelora_convert.sources.end_tokens import MAX_END_TOKENS

from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.header import MetadataArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgelora_convert.source import Source

    from edgelora.gguf.header import Header
    from edgelora.merge.metadata import MetadataValue

TEMPLATE = "tokenizer.chat_template"
SYSTEM_PROMPT = "edgelora.system_prompt"
END_TOKENS = "edgelora.eos_tokens"

_END_IDS = ("tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id")
"""Tokens that end an answer for every program of llama.cpp, beside eos, which templates may write."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Metadata that replaces the base's or is added to it, and what had to be left out, in words."""

    entries: Mapping[str, MetadataValue] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def carried(sources: Sequence[Source], base: Header) -> Carried:
    """What ``sources``, those that do anything, bring into a file merged with ``base``."""
    facts = BaseFacts.of(base)
    entries: dict[str, MetadataValue] = {}
    templates = _distinct(own_template(source, facts) for source in sources)
    if len(templates) == 1:
        entries[TEMPLATE] = templates[0]
    prompts = _distinct(source.texts.system_prompt for source in sources)
    if len(prompts) == 1:
        entries[SYSTEM_PROMPT] = prompts[0]
    entries |= _ends([text for source in sources for text in source.texts.eos_tokens], base, facts)
    disagree = [("chat templates", templates), ("system prompts", prompts)]
    notes = (f"the adapters carry different {what}, so none of them is kept" for what, found in disagree if found[1:])
    return Carried(entries, tuple(notes))


def _distinct(texts: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _ends(texts: Iterable[str], base: Header, facts: BaseFacts) -> dict[str, MetadataValue]:
    """The end tokens that the base does not have, by their texts, and by their numbers where the base has room."""
    known = {*end_tokens(base), *facts.end_tokens}
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if not new:
        return {}
    vocabulary = base.metadata.get("tokenizer.ggml.tokens")
    listed = vocabulary.values if isinstance(vocabulary, MetadataArray) else ()
    numbers = [listed.index(text) for text in new if text in listed]
    free = [key for key in _END_IDS if key not in base.metadata]
    return {END_TOKENS: (*facts.end_tokens, *new)[:MAX_END_TOKENS], **dict(zip(free, numbers, strict=False))}
