"""Metadata of a converted adapter: what it is, where it came from, and what it was trained with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from edgelora_convert import CONVERTER_VERSION
from edgelora_convert.agreement import own_template
from edgelora_convert.sources.end_tokens import MAX_END_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgelora_convert.plan import Plan
    from edgelora_convert.source import Source
    from edgelora_convert.write import MetadataValue

_Value = TypeVar("_Value")

SOURCE_SHA256 = "edgelora.source_sha256"
BASE_FINGERPRINT = "edgelora.base_fingerprint"
_HUB = "https://huggingface.co"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_LONGEST_NAME = 500


def metadata_of(plan: Plan, fingerprint: str) -> dict[str, MetadataValue]:
    """All metadata beside type, architecture and alpha, in the order of writing; nothing empty among it."""
    found: dict[str, MetadataValue | None] = {
        "general.name": "+".join(source.name for source in plan.sources),
        **_base_model(_common(source.base_name for source in plan.sources) or ""),
        **_origin(plan.sources),
        "adapter.alora.invocation_tokens": plan.sources[0].invocation_tokens,
        **_texts(plan),
        SOURCE_SHA256: "+".join(source.sha256() for source in plan.sources),
        BASE_FINGERPRINT: fingerprint,
        "edgelora.converter": CONVERTER_VERSION,
    }
    return {key: _storable(value) for key, value in found.items() if value}


def _texts(plan: Plan) -> dict[str, MetadataValue | None]:
    """What chats need; of several adapters only what they have in common, and all their end tokens."""
    texts = [source.texts for source in plan.sources]
    ends = dict.fromkeys(token for text in texts for token in text.eos_tokens)
    return {
        "tokenizer.chat_template": _common(own_template(source, plan.base) for source in plan.sources),
        "edgelora.eos_tokens": tuple(ends)[:MAX_END_TOKENS],
        "edgelora.system_prompt": _common(text.system_prompt for text in texts),
        "edgelora.example_prompt": _common(text.example_prompt for text in texts),
    }


def _base_model(trained_on: str) -> dict[str, MetadataValue | None]:
    """What an adapter calls its base: a hub id, or a local path with either kind of separator."""
    name = re.split(r"[/\\]", trained_on.rstrip("/\\"))[-1]
    if not name or len(trained_on) > _LONGEST_NAME:
        return {}
    found: dict[str, MetadataValue | None] = {"general.base_model.count": 1, "general.base_model.0.name": name}
    if _HUB_ID.fullmatch(trained_on):
        found["general.base_model.0.organization"] = trained_on.split("/")[0]
        found["general.base_model.0.repo_url"] = f"{_HUB}/{trained_on}"
    return found


def _origin(sources: tuple[Source, ...]) -> dict[str, MetadataValue | None]:
    """The repository that it was downloaded from, and which state of it."""
    if len(sources) > 1 or not sources[0].repository:
        return {}
    return {
        "general.source.repo_url": f"{_HUB}/{sources[0].repository}",
        "edgelora.source_commit": sources[0].commit,
    }


def _common(values: Iterable[_Value]) -> _Value | None:
    """The one value that all have."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _storable(value: MetadataValue) -> MetadataValue:
    """The value with all text as UTF-8 can hold it: names of files and JSON may have halves of characters."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        return _utf8(value)
    texts = tuple(_utf8(item) for item in value if isinstance(item, str))
    return texts or value


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
