"""Metadata of a converted adapter: what it is, and where it came from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgelora_convert import CONVERTER_VERSION

if TYPE_CHECKING:
    from edgelora_convert.plan import Plan

SOURCE_SHA256 = "edgelora.source_sha256"
BASE_FINGERPRINT = "edgelora.base_fingerprint"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def texts(plan: Plan, fingerprint: str) -> dict[str, str]:
    """String metadata, in the order of writing."""
    first = plan.sources[0]
    found = {"general.name": "+".join(source.name for source in plan.sources), **_base_model(first.base_name)}
    template = first.texts.chat_template
    if template and template.strip() != (plan.base.chat_template or "").strip():
        found["tokenizer.chat_template"] = template
    if first.texts.example_prompt:
        found["edgelora.example_prompt"] = first.texts.example_prompt
    hashes = "+".join(source.sha256() for source in plan.sources)
    return {**found, SOURCE_SHA256: hashes, BASE_FINGERPRINT: fingerprint}


def numbers(plan: Plan) -> dict[str, int]:
    """Whole-number metadata."""
    count = {"general.base_model.count": 1} if plan.sources[0].base_name else {}
    return {**count, "edgelora.converter": CONVERTER_VERSION}


def _base_model(trained_on: str) -> dict[str, str]:
    """What adapter_config.json calls the base: a hub id, or a local path with either kind of separator."""
    if not trained_on:
        return {}
    found = {"general.base_model.0.name": re.split(r"[/\\]", trained_on.rstrip("/\\"))[-1]}
    if _HUB_ID.fullmatch(trained_on):
        found["general.base_model.0.organization"] = trained_on.split("/")[0]
        found["general.base_model.0.repo_url"] = f"https://huggingface.co/{trained_on}"
    return found
