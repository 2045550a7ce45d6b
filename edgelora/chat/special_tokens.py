"""The special tokens that templates write by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from edgelora.gguf.header import Header, MetadataArray
from edgelora.gguf.split import read_joined

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The texts of a vocabulary's BOS and EOS tokens; empty where it has none."""

    bos: str = ""
    eos: str = ""


@lru_cache(maxsize=4)
def special_tokens(base: Path) -> SpecialTokens:
    """Those of the base at ``base``, from its GGUF header. Raises GGUFError."""
    header = read_joined(base)
    return SpecialTokens(_text(header, "bos"), _text(header, "eos"))


def _text(header: Header, role: str) -> str:
    vocabulary = header.metadata.get("tokenizer.ggml.tokens")
    identity = header.get(f"tokenizer.ggml.{role}_token_id", -1)
    if not isinstance(vocabulary, MetadataArray) or not 0 <= identity < len(vocabulary):
        return ""
    return str(vocabulary[identity])
