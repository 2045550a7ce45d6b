"""What the sources say about themselves, against the base and against each other.

Nothing of it can be seen in shapes: another base of the same size, another chat template, another end token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.gguf.header import MetadataArray
from edgelora.gguf.model_names import base_name_warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgelora.gguf.facts import BaseFacts
    from edgelora.gguf.header import Header
    from edgelora_convert.plan import Plan
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Source

_END_ROLES = ("eos", "eot", "eom")
_LARGEST_TOKEN = 2**32 - 1


def check_agreement(plan: Plan, problems: Problems, warnings: Problems) -> None:
    """A mismatch is a warning; activated LoRAs that cannot be joined are a problem."""
    for source in plan.sources:
        of_this = f"{source.name}: " if len(plan.sources) > 1 else ""
        for text in _doubts(source, plan):
            warnings.refuse(of_this + text, of_this + text)
    if len({own_template(source, plan.base) for source in plan.sources}) > 1:
        warnings.refuse("templates", "the joined adapters have different chat templates, so none is kept")
    _check_activation(plan.sources, problems)


def _doubts(source: Source, plan: Plan) -> Iterator[str]:
    of_another_base = base_name_warning(source.base_name, plan.base.names)
    if of_another_base:
        yield of_another_base
    if own_template(source, plan.base) and plan.base.chat_template:
        yield "its chat template is not the base's; chats with it use its own"
    # the tokenizer's own end token comes first; others, from generation settings, may only be the base's too
    own = source.texts.eos_tokens[:1]
    ends = end_tokens(plan.header) if own else ()
    if ends and own[0] not in ends:
        yield f"it was trained to end its answers with {own[0]}, the base ends with {' or '.join(ends)}"


def own_template(source: Source, base: BaseFacts) -> str | None:
    """The chat template of a source, unless it is the base's but for the ends of lines."""
    template = source.texts.chat_template
    return None if template is None or _lines(template) == _lines(base.chat_template or "") else template


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def end_tokens(base: Header) -> tuple[str, ...]:
    """Texts of the tokens that the metadata of a base names as ends; none where it has no vocabulary."""
    vocabulary = base.metadata.get("tokenizer.ggml.tokens")
    ids = dict.fromkeys(base.get(f"tokenizer.ggml.{role}_token_id", -1) for role in _END_ROLES)
    if not isinstance(vocabulary, MetadataArray):
        return ()
    return tuple(vocabulary.text_at(token) for token in ids if 0 <= token < len(vocabulary))


def _check_activation(sources: Sequence[Source], problems: Problems) -> None:
    """Activated LoRAs start to act behind certain tokens, all of one file behind the same."""
    if len({source.invocation_tokens for source in sources}) > 1:
        problems.refuse("activation", "activated LoRAs can only be joined with those of the same invocation tokens")
    if any(not 0 <= token <= _LARGEST_TOKEN for source in sources for token in source.invocation_tokens):
        problems.refuse("invocation tokens", "its invocation tokens are no token numbers")
