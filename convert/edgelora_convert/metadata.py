"""Metadata of a converted adapter: what it is, and where it came from."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from edgelora_convert import CONVERTER_VERSION, folder_texts

if TYPE_CHECKING:
    from edgelora_convert.plan import Plan
    from edgelora_convert.source import PeftFolder

SOURCE_SHA256 = "edgelora.source_sha256"
BASE_FINGERPRINT = "edgelora.base_fingerprint"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def texts(plan: Plan, fingerprint: str) -> dict[str, str]:
    """String metadata, in the order of writing."""
    found = {"general.name": plan.source.name, **_base_model(plan.config.base_name)}
    template = folder_texts.chat_template(plan.source.folder)
    if template and template.strip() != (plan.base.chat_template or "").strip():
        found["tokenizer.chat_template"] = template
    prompt = folder_texts.example_prompt(plan.source.folder)
    if prompt:
        found["edgelora.example_prompt"] = prompt
    return {**found, SOURCE_SHA256: source_hash(plan.source), BASE_FINGERPRINT: fingerprint}


def numbers(plan: Plan) -> dict[str, int]:
    """Whole-number metadata."""
    count = {"general.base_model.count": 1} if plan.config.base_name else {}
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


def source_hash(source: PeftFolder) -> str:
    """SHA-256 over adapter_config.json followed by the weights file."""
    digest = hashlib.sha256(source.config.read_bytes())
    with source.weights.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
