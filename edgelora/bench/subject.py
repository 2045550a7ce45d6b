"""What is measured: selections with their files, and the prompt they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgelora.adapters.selection import MemberText, format_selection, parse_selection
from edgelora.chat.choice import choose_template
from edgelora.chat.messages import Message
from edgelora.chat.resolved import resolve
from edgelora.errors import UsageError
from edgelora.types import AdapterFile, ReportProgress, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.adapters.library import AdapterLibrary
    from edgelora.engine.core import EngineCore

PROMPT = "What can you do for me? Answer in a few sentences."
"""What adapters without an example prompt are asked."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A selection as it was written, its adapters' files, the templates they carry, and what it will be asked."""

    text: str
    selection: Selection
    files: tuple[AdapterFile, ...]
    templates: tuple[str, ...] = ()
    prompt: str = PROMPT

    @property
    def label(self) -> str:
        """The selection by its adapters' names, also where it was written as paths."""
        scales = {member.adapter: member.scale for member in self.selection.members}
        return format_selection([MemberText(file.name, scales[file.sha256]) for file in self.files])


def find_subjects(
    library: AdapterLibrary, texts: Sequence[str], prompt: str | None, report: ReportProgress
) -> tuple[Subject, ...]:
    """The selections that ``texts`` name, or every adapter of the library that fits the base, one by one.

    Raises UsageError where there is none, and what AdapterLibrary.resolve raises.
    """
    wanted = [format_selection(parse_selection(text)) for text in texts]
    wanted = wanted or [entry.name for entry in library.entries if entry.usable]
    if not wanted:
        raise UsageError(
            f"there are no adapters to measure in {library.folder}", "Name some: --adapter a.gguf --adapter b.gguf"
        )
    return tuple(_subject(library, text, prompt, report) for text in wanted)


def take(subjects: Sequence[Subject], count: int | None, default: int | None) -> tuple[Subject, ...]:
    """The first ``count`` of them; by default the first ``default``, or all. Raises UsageError if they are fewer."""
    if count is not None and count > len(subjects):
        raise UsageError(
            f"there are {len(subjects)} adapters that fit the base, not {count}",
            "Name them: --adapter a.gguf --adapter b.gguf, or set EDGELORA_ADAPTERS to a folder with more.",
        )
    return tuple(subjects[: count or default])


def prompt_tokens(core: EngineCore, subject: Subject, template: str | None) -> tuple[int, ...]:
    """The subject's prompt as the base reads it, with one BOS token where the vocabulary wants one."""
    choice = choose_template(template, subject.templates, core.base)
    tokens = core.tokenize(choice.template.render([Message("user", subject.prompt)]))
    bos = core.tokenize("", add_special=True)[:1]
    return tokens if tokens[:1] == bos else bos + tokens


def _subject(library: AdapterLibrary, text: str, prompt: str | None, report: ReportProgress) -> Subject:
    resolved = resolve(library, text, report)
    if resolved.selection.is_base:
        raise UsageError(f"{text!r} is the base itself", "Name an adapter: the base is always measured too.")
    entries = [library.by_hash(file.sha256) for file in resolved.files]
    examples = [entry.example_prompt for entry in entries if entry and entry.example_prompt]
    return Subject(text, resolved.selection, resolved.files, resolved.templates, prompt or next(iter(examples), PROMPT))
