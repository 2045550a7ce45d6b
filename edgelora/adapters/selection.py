"""The text form of a selection: `legal`, `legal@2`, `legal:0.7+medical:0.3`, `./mine.gguf:0.5`, `base`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.adapters.naming import check_name
from edgelora.errors import UsageError
from edgelora.types import SCALE_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BASE_NAME = "base"
_SCALE = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)")
_VERSION = re.compile(r"[0-9]{1,9}")
_SEPARATORS = ("/", "\\")


@dataclass(frozen=True, slots=True)
class MemberText:
    """One member as a person writes it: a name, with or without version (``legal@3``), or a path; the user's scale."""

    ref: str
    scale: float = 1.0

    @property
    def is_path(self) -> bool:
        """Whether it is written as a path and not as a name."""
        return is_path(self.ref)


def is_path(ref: str) -> bool:
    """Whether ``ref`` means a file or folder: it has a path separator or ends in `.gguf`."""
    return any(separator in ref for separator in _SEPARATORS) or ref.lower().endswith(".gguf")


def is_existing_path(ref: str) -> bool:
    """Whether ``ref`` means a file or folder that is there; `~` is the home folder."""
    if not is_path(ref):
        return False
    try:
        return Path(ref).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long a name; the home of nobody; a null byte
        return False


def parse_selection(text: str) -> tuple[MemberText, ...]:
    """The members that ``text`` names, in its order; none for `base`. Raises UsageError.

    Scale and version are read from the right, and a path that exists is taken as it stands, so that `+`, `:`
    and `@` in the names of existing files need no escape.
    """
    stripped = text.strip()
    if stripped == BASE_NAME:
        return ()
    if stripped == "auto":
        raise UsageError("'auto' is reserved: choosing an adapter by the prompt is not there yet", "Name an adapter.")
    members = tuple(_parse_member(part.strip(), text) for part in _split(stripped))
    refs = [member.ref for member in members]
    for ref in refs:
        if refs.count(ref) > 1:
            raise UsageError(f"{ref!r} is named twice in {text!r}", "Give it one scale.")
    return members


def format_selection(members: Sequence[MemberText]) -> str:
    """The canonical text of ``members``; parsing it gives them back."""
    return "+".join(map(_format_member, members)) if members else BASE_NAME


def format_scale(scale: float) -> str:
    """``scale`` as people write it: `1`, `0.7`, `-0.25`; at most four decimals."""
    text = f"{scale:.{SCALE_DIGITS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _split(text: str) -> Iterator[str]:
    """The parts of ``text`` between `+`, except where a `+` belongs to the path of an existing file."""
    pieces = text.split("+")
    start = 0
    while start < len(pieces):
        end = next(e for e in range(len(pieces), start, -1) if e == start + 1 or _exists("+".join(pieces[start:e])))
        yield "+".join(pieces[start:end])
        start = end


def _exists(text: str) -> bool:
    """Whether ``text``, with or without a scale at its end, is the path of something that exists."""
    return is_existing_path(text) or is_existing_path(_cut_scale(text)[0])


def _parse_member(text: str, whole: str) -> MemberText:
    if not text:
        raise UsageError(f"a member is missing in the selection {whole!r}", "Write it like legal:0.7+medical:0.3.")
    if is_existing_path(text):
        return MemberText(text)
    ref, scale = _cut_scale(text)
    if is_path(ref):
        if not is_existing_path(ref) and _cut_version(ref)[1]:
            raise UsageError(f"{ref!r} asks for a version of a path", "Only names in the library have versions.")
        return MemberText(ref, scale)
    name, colon, after = ref.partition(":")
    if colon:
        raise UsageError(f"the scale {after!r} of {name!r} is not a number", "Write it like legal:0.7.")
    name, version = _cut_version(name)
    if name in (BASE_NAME, "auto"):
        raise UsageError(f"{name!r} cannot be part of {whole!r}", "It stands alone and has no scale.")
    return MemberText(check_name(name) + (f"@{int(version)}" if version else ""), scale)


def _cut_scale(text: str) -> tuple[str, float]:
    """``text`` without the scale at its end, and that scale, 1 where there is none."""
    ref, colon, scale = text.rpartition(":")
    if colon and ref and _SCALE.fullmatch(scale):
        return ref, round(float(scale), SCALE_DIGITS)
    return text, 1.0


def _cut_version(ref: str) -> tuple[str, str]:
    """``ref`` without the version at its end, and that version, empty where there is none."""
    name, at, version = ref.rpartition("@")
    return (name, version) if at and _VERSION.fullmatch(version) else (ref, "")


def _format_member(member: MemberText) -> str:
    if member.scale == 1.0 and _reads_back(member.ref, member):
        return member.ref
    return f"{member.ref}:{format_scale(member.scale)}"


def _reads_back(text: str, member: MemberText) -> bool:
    """Whether ``text`` would be parsed as ``member``: a path such as `a/b:2` needs its scale written out."""
    return _parse_member(text, text) == member
