"""One adapter as the library shows it, whether or not it can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class AdapterEntry:
    """An adapter on disk. Entries that cannot be used with the base stay visible and say why in ``problem``.

    ``path`` is a GGUF file, or what is converted on the way; ``sha256`` is of the GGUF, None where there is none yet
    for this base. ``rank`` is the largest rank, ``n_bytes`` the size on disk, ``targets`` short names such as attn_q.
    ``warning`` is a reason for doubt that does not keep it from being used; ``trained_on`` the base that it names.

    Only what the library keeps has a ``version``, ``aliases``, ``added`` (seconds since 1970), a ``source`` and a card:
    ``description`` and ``sampling``, defaults by the names of SamplingParams. The current version is called by its
    ``name`` alone, another one ``legal@1``.
    """

    name: str
    path: Path
    sha256: str | None = None
    rank: int = 0
    n_bytes: int = 0
    targets: tuple[str, ...] = ()
    example_prompt: str | None = None
    chat_template: str | None = None
    eos_tokens: tuple[str, ...] = ()
    system_prompt: str | None = None
    problem: str | None = None
    warning: str | None = None
    trained_on: str = ""
    version: int | None = None
    aliases: tuple[str, ...] = ()
    added: float = 0.0
    source: str = ""
    description: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether nothing speaks against using it with the base."""
        return self.problem is None

    @property
    def full_name(self) -> str:
        """The name under which exactly this content can be had again, ``legal@3``; what answers are attested by."""
        return self.name if self.version is None or "@" in self.name else f"{self.name}@{self.version}"
