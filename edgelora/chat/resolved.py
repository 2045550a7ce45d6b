"""A selection with everything a request needs: the files to load and the templates they carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.types import BASE, AdapterFile, ReportProgress, Selection, ignore_progress

if TYPE_CHECKING:
    from edgelora.adapters.library import AdapterLibrary


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """``files`` are those of the selection's members; ``templates`` the chat templates that they carry."""

    selection: Selection = BASE
    files: tuple[AdapterFile, ...] = ()
    templates: tuple[str, ...] = ()


def resolve(library: AdapterLibrary, text: str, report: ReportProgress = ignore_progress) -> ResolvedSelection:
    """What ``text``, such as ``legal:0.7+medical:0.3``, means. Raises what AdapterLibrary.resolve raises.

    May convert a PEFT folder, so it can take seconds.
    """
    selection, files = library.resolve(text, report)
    entries = (library.by_hash(file.sha256) for file in files)
    templates = tuple(entry.chat_template for entry in entries if entry and entry.chat_template)
    return ResolvedSelection(selection, files, templates)
