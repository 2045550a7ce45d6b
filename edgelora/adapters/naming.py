"""What an adapter may be called."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from edgelora.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Container

MAX_LENGTH = 64
RESERVED = frozenset({"base", "auto"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


def is_name(text: str) -> bool:
    """Whether ``text`` can be an adapter's name: `[a-z0-9][a-z0-9._-]{0,63}`, not `base` or `auto`, not `*.gguf`."""
    return bool(_NAME.fullmatch(text)) and text not in RESERVED and not text.endswith(".gguf")


def check_name(text: str, of: str = "adapter") -> str:
    """``text`` if it is a name, else UsageError."""
    if is_name(text):
        return text
    raise UsageError(
        f"{text!r} is no {of} name",
        "Names are lower-case letters, digits, '.', '_' and '-', start with a letter or digit, at most 64 long; "
        "'base' and 'auto' are reserved. A path needs a '/' or must end in .gguf.",
    )


def name_from_stem(stem: str, taken: Container[str] = ()) -> str:
    """The nearest name to a file's stem that is not ``taken``: `My Löra` gives `my-lora`, a second one `my-lora-2`."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(char))
    slug = _NOT_IN_NAMES.sub("-", plain.lower()).strip("-._")[:MAX_LENGTH].removesuffix(".gguf")
    name = slug if is_name(slug) else f"adapter-{slug}"[:MAX_LENGTH].rstrip("-._")
    candidate, n = name, 2
    while candidate in taken:
        suffix = f"-{n}"
        candidate = name[: MAX_LENGTH - len(suffix)] + suffix
        n += 1
    return candidate
