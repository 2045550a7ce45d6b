"""The library's manifest: which adapters have which names and versions. Values only; :mod:`.changes` makes new ones."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from edgelora.adapters.naming import is_name
from edgelora.errors import UsageError
from edgelora.types import SamplingParams

FORMAT = 1
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
"""A version has one spelling: an alias of `legal@01` would not be seen when `legal@1` is removed."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""What stands for a byte of a path that is no UTF-8 (PEP 383); UTF-8 cannot write it, JSON can."""
_TEXTS = ("source", "source_sha256", "commit", "base", "base_name", "base_path", "arguments")
_YEAR_5000 = 95_617_584_000.0
_ON_CARDS = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version came from: ``source`` as a person gave it, ``added`` in seconds since 1970.

    ``source_sha256`` and ``commit`` say exactly what was read. ``base`` is the fingerprint of the base that it was
    converted for, ``base_name`` and ``base_path`` what and where that was; they are empty for a GGUF that was taken as
    it is and does not say. ``converter`` is the converter's version, 0 where nothing was converted. ``arguments`` are
    those with which `edgelora` makes it once more, as a shell reads them, without the base.
    """

    source: str
    added: float
    source_sha256: str = ""
    commit: str = ""
    base: str = ""
    base_name: str = ""
    base_path: str = ""
    converter: int = 0
    arguments: str = ""

    def command(self, name: str) -> str:
        """What adds it once more as ``name``."""
        base = f" --base {shlex.quote(self.base_path)}" if self.base_path else ""
        return f"edgelora {self.arguments or f'adapters add {shlex.quote(self.source)}'}{base} --name {name}"

    def choices(self) -> str:
        """What was chosen of a source, as options; a fetched one is told by its commit."""
        words = shlex.split(self.arguments)
        return " ".join(word for word in words if word.startswith("--")) if words[:1] != ["pull"] else ""


@dataclass(frozen=True, slots=True)
class Version:
    """One file under a name. ``sha256`` is that of the file and the start of its name on disk."""

    sha256: str
    n_bytes: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class Card:
    """What people should know about an adapter: ``sampling`` is by the names of SamplingParams."""

    description: str = ""
    examples: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)

    def updated(self, other: Card) -> Card:
        """This card with whatever ``other`` says."""
        sampling = {**self.sampling, **other.sampling}
        return Card(other.description or self.description, other.examples or self.examples, sampling)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A name: ``versions`` by number, the ``current`` one, and those that were so ``before``, the latest at the end.

    ``following`` is the number of the next version; a number is never given twice.
    """

    versions: Mapping[int, Version]
    current: int
    before: tuple[int, ...] = ()
    following: int = 2
    card: Card = field(default_factory=Card)


@dataclass(frozen=True, slots=True)
class Manifest:
    """``aliases`` are names for a name, or for ``NAME@VERSION``.

    ``unfinished`` are files that a change which was cut off may have left: no version refers to them.
    """

    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()

    def find(self, ref: str) -> tuple[str, int] | None:
        """Name and version number that ``legal``, ``legal@2`` or an alias means; None for what is not there."""
        name, at, number = self.aliases.get(ref, ref).rpartition("@")
        if not at:
            name = number
        adapter = self.adapters.get(name)
        if adapter is None or (at and not _NUMBER.fullmatch(number)):
            return None
        wanted = int(number) if at else adapter.current
        return (name, wanted) if wanted in adapter.versions else None

    def version(self, name: str, number: int) -> Version:
        """The version of that number. Raises KeyError."""
        return self.adapters[name].versions[number]

    def files(self) -> frozenset[str]:
        """The hashes of all files that versions refer to."""
        return frozenset(version.sha256 for adapter in self.adapters.values() for version in adapter.versions.values())

    def aliases_of(self, *meanings: str) -> tuple[str, ...]:
        """The aliases that mean one of ``meanings``, in their order."""
        return tuple(alias for alias, meaning in self.aliases.items() if meaning in meanings)


class NewerFormatError(ValueError):
    """A later version of edgelora wrote it."""


def to_text(manifest: Manifest) -> str:
    """``manifest`` as JSON, for a file that people can read."""
    text = json.dumps({"format": FORMAT} | asdict(manifest), indent=1, ensure_ascii=False) + "\n"
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def parse(text: str) -> Manifest:
    """The manifest that ``text`` holds. Raises ValueError where it holds none, NewerFormatError for a later format."""
    try:
        raw = json.loads(text)
        if raw["format"] > FORMAT:
            raise NewerFormatError(f"its format is {raw['format']}")
        found = Manifest(
            adapters={_name(name): _adapter(adapter) for name, adapter in raw["adapters"].items()},
            aliases={_name(alias): str(meaning) for alias, meaning in raw["aliases"].items()},
            unfinished=tuple(map(_sha256, raw["unfinished"])),
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, UsageError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    lost = [alias for alias, meaning in found.aliases.items() if found.find(meaning) is None]
    if lost:
        raise ValueError(f"the alias {lost[0]!r} means nothing")
    return found


def check_sampling(sampling: Mapping[str, float]) -> Mapping[str, float]:
    """``sampling`` if a card may say it, and SamplingParams takes it. Raises UsageError."""
    if others := sampling.keys() - set(_ON_CARDS):
        raise UsageError(f"a card cannot say {min(others)!r}", f"It can say {', '.join(_ON_CARDS)}.")
    if not isinstance(sampling.get("top_k", 0), int):
        raise UsageError(f"top_k is {sampling['top_k']!r}; it must be a whole number")
    SamplingParams(**sampling)  # type: ignore[arg-type]
    return sampling


def _adapter(raw: Mapping[str, Any]) -> Adapter:
    versions = {int(number): _version(version) for number, version in raw["versions"].items()}
    card = raw["card"]
    found = Adapter(
        versions=versions,
        current=int(raw["current"]),
        before=tuple(number for number in map(int, raw["before"]) if number in versions),
        following=int(raw["following"]),
        card=Card(str(card["description"]), tuple(map(str, card["examples"])), check_sampling(card["sampling"])),
    )
    if found.current not in versions or max(versions) >= found.following:
        raise ValueError("the current version is missing")
    return found


def _version(raw: Mapping[str, Any]) -> Version:
    return Version(_sha256(raw["sha256"]), int(raw["n_bytes"]), _origin(raw["origin"]))


def _origin(raw: Mapping[str, Any]) -> Origin:
    """It is shown; a time far outside of the calendar cannot be."""
    origin = Origin(**raw)
    if not abs(origin.added) < _YEAR_5000 or not all(isinstance(raw.get(key, ""), str) for key in _TEXTS):
        raise ValueError(f"{raw!r} is no origin")
    return origin


def _sha256(text: str) -> str:
    """It becomes the name of a file."""
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{text!r} is no SHA-256")
    return text


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text!r} is no name")
    return text
