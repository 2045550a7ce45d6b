"""One adapter as it was read from disk, whatever it was stored in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgelora_convert.update import Pending, Update, Whole

Naming = Literal["transformers", "gguf"]
"""Whose module names and weight layouts a source uses."""


@dataclass(frozen=True)
class FolderTexts:
    """Texts that travel with an adapter. ``eos_tokens`` end an answer, the tokenizer's own first."""

    chat_template: str | None = None
    example_prompt: str | None = None
    eos_tokens: tuple[str, ...] = ()
    system_prompt: str | None = None


@dataclass(frozen=True)
class Source:
    """What a reader found.

    ``files`` are what the updates were read from, in the order in which they are hashed. ``folder`` may hold what was
    saved beside them (tokenizer, README). ``base_name`` is the model it says it was trained on, or empty. ``pending``
    become updates with the base at hand. ``wholes`` and all else that no adapter can hold, but a merge can express, is
    named in ``only_merged``, by cause.
    """

    name: str
    files: tuple[Path, ...]
    updates: tuple[Update, ...]
    base_name: str = ""
    naming: Naming = "transformers"
    folder: Path | None = None
    invocation_tokens: tuple[int, ...] = ()  # of an activated LoRA
    pending: tuple[Pending, ...] = ()
    wholes: tuple[Whole, ...] = ()
    only_merged: Mapping[str, str] = field(default_factory=dict)
    arch: str = ""  # the architecture it is for, where it says so itself
    texts: FolderTexts = field(default_factory=FolderTexts)
    repository: str = ""  # on the hub, such as org/repo
    commit: str = ""  # of the repository

    def sha256(self) -> str:
        """SHA-256 over the files' bytes, in hexadecimal. Raises ConversionError where one cannot be read any more."""
        digest = hashlib.sha256()
        for path in self.files:
            try:
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
            except OSError as error:
                raise ConversionError(str(path), [f"it cannot be read ({error.strerror or error})"]) from None
        return digest.hexdigest()
