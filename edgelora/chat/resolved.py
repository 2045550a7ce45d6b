"""A selection with everything a request needs: the files to load and the templates they carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgelora.types import BASE, AdapterFile, ReportProgress, Selection, ignore_progress

if TYPE_CHECKING:
    from edgelora.adapters.library import AdapterLibrary


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """``files`` are those of the selection's members.

    ``templates`` and ``system_prompts`` are what they carry of these, ``end_tokens`` texts of the tokens that end the
    answers of any of them. ``sampling`` is what the card of a lone adapter says, by the names of SamplingParams.
    """

    selection: Selection = BASE
    files: tuple[AdapterFile, ...] = ()
    templates: tuple[str, ...] = ()
    end_tokens: tuple[str, ...] = ()
    system_prompts: tuple[str, ...] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)


def resolve(library: AdapterLibrary, text: str, report: ReportProgress = ignore_progress) -> ResolvedSelection:
    """What ``text``, such as ``legal:0.7+medical:0.3``, means. Raises what AdapterLibrary.resolve raises.

    May convert an adapter of another form, so it can take seconds.
    """
    selection, files = library.resolve(text, report)
    entries = [entry for file in files if (entry := library.by_hash(file.sha256))]
    return ResolvedSelection(
        selection,
        files,
        templates=tuple(entry.chat_template for entry in entries if entry.chat_template),
        end_tokens=tuple(dict.fromkeys(token for entry in entries for token in entry.eos_tokens)),
        system_prompts=tuple(entry.system_prompt for entry in entries if entry.system_prompt),
        sampling=entries[0].sampling if len(entries) == 1 else {},
    )
