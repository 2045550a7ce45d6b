"""Anything that holds a LoRA to a GGUF adapter: plan against the base, transform, write, report."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import AdapterError, ConversionError, GGUFError
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.fit import require_fit
from edgelora.gguf.hashes import file_sha256, fingerprint_of
from edgelora.gguf.reader import read_header
from edgelora.gguf.replacing import replacing
from edgelora.types import ReportProgress, ignore_progress
from edgelora_convert.agreement import check_agreement
from edgelora_convert.ignored import warn_of_ignored
from edgelora_convert.metadata import BASE_FINGERPRINT, SOURCE_SHA256, metadata_of
from edgelora_convert.norms import base_norms
from edgelora_convert.options import EVERYTHING, Options
from edgelora_convert.plan import Plan, make_plan
from edgelora_convert.problems import Problems
from edgelora_convert.report import ConversionReport, target_reports
from edgelora_convert.transform import transform
from edgelora_convert.write import AdapterContent, write_adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.gguf.header import Header
    from edgelora_convert.encode import DType
    from edgelora_convert.report import TargetReport


_WHERE_TO = "Say with -o where to write it, a file in a folder that is there."


def convert(
    src: str | Path | Sequence[str | Path],
    base: Path,
    out: Path,
    dtype: DType = "auto",
    progress: ReportProgress = ignore_progress,
    options: Options = EVERYTHING,
) -> ConversionReport:
    """Convert the LoRA at ``src`` to the GGUF adapter ``out`` for the base GGUF ``base``; several become one, exactly.

    A source is a path, or the id of a repository on the hub.
    ``dtype`` auto is F16, with F32 for pairs that F16 cannot hold. An existing ``out`` is replaced at the very end, in
    one step; the same input gives the same bytes. Raises ConversionError with every reason found, and GGUFError where
    the base is not readable.
    """
    paths = [src] if isinstance(src, str | Path) else list(src)
    shown = " + ".join(map(str, paths))
    problems, warnings = Problems(shown), Problems(shown)
    _check_out(out, base, problems)
    plan = make_plan(paths, base, options, problems, warnings, progress)
    check_agreement(plan, problems, warnings)
    _check_sources(out, plan, problems)
    warn_of_ignored(plan.base.arch, [target.name for target in plan.targets], problems, warnings)
    transformed = transform(plan, dtype, problems, warnings, progress)
    problems.raise_if_any()
    measured = base_norms(plan.header, [target.tensor for target in plan.targets], options.exact_norms, progress)
    content = AdapterContent(
        arch=plan.base.arch,
        alpha=transformed.alpha,
        metadata=metadata_of(plan, fingerprint_of(plan.header)),
        tensors=transformed.tensors,
    )
    return _report(
        shown,
        plan,
        content,
        out,
        _write(out, plan.header, content, shown),
        target_reports(plan.base.arch, plan.targets, transformed.norms, measured),
        warnings,
        options,
    )


def _check_out(out: Path, base: Path, problems: Problems) -> None:
    try:
        reason = _why_not_to(out, base)
    except OSError as error:
        reason = f"{out} cannot be written ({error.strerror})"
    if reason:
        problems.stop("out", reason, _WHERE_TO)


def _why_not_to(out: Path, base: Path) -> str:
    """Why ``out`` cannot be written, or should not be; empty where nothing speaks against it."""
    if out.is_dir():
        return f"the output {out} is a folder"
    if not out.parent.is_dir():
        return f"the folder for the output {out} does not exist"
    if out.exists() and not out.is_file():
        return f"the output {out} is no ordinary file"
    if out.exists() and base.exists() and out.samefile(base):
        return "the output would replace the base"
    if out.exists() and _is_model(out):
        return f"the output {out} is a model, which it would replace"
    if not os.access(out.resolve().parent, os.W_OK):
        return f"the folder for the output {out} cannot be written to"
    return ""


def _is_model(path: Path) -> bool:
    """Whether a file is a GGUF that is no adapter."""
    try:
        return read_header(path).metadata.get("general.type") != "adapter"
    except GGUFError:
        return False


def _check_sources(out: Path, plan: Plan, problems: Problems) -> None:
    """A GGUF may be converted in place; of anything else the output would be the ruin."""
    for source in plan.sources:
        if source.naming != "gguf" and out.exists() and any(out.samefile(path) for path in source.files):
            problems.refuse("out", f"the output would replace {out.name} of {source.name}", _WHERE_TO)


_LONGEST_NAME = 200  # of a base; a configuration may say anything


@dataclass(frozen=True)
class _Written:
    """The file as it was when it got its name; another process may have replaced it since."""

    header: Header
    sha256: str


def _write(out: Path, base: Header, content: AdapterContent, source: str) -> _Written:
    """Write the file and read it back with the eyes of the engine before it gets its name."""
    try:
        with replacing(out) as temporary:
            write_adapter(temporary, content)
            written = _Written(read_header(temporary), file_sha256(temporary))
            require_fit(written.header, base)
        return written
    except OSError as error:
        # numpy, which writes the tensors, does not say why it could not
        raise ConversionError(source, [f"{out} cannot be written ({error.strerror or 'is the disk full?'})"]) from None
    except GGUFError:
        raise ConversionError(source, [f"{out} cannot be written completely (is the disk full?)"]) from None
    except AdapterError as error:
        raise ConversionError(source, [f"the result would not work: {error.message}"]) from None


def _report(
    source: str,
    plan: Plan,
    content: AdapterContent,
    out: Path,
    written: _Written,
    targets: tuple[TargetReport, ...],
    warnings: Problems,
    options: Options,
) -> ConversionReport:
    facts = AdapterFacts.of(written.header)
    return ConversionReport(
        source=source,
        base=str(plan.base.path),
        out=str(out),
        name=facts.name,
        base_name=plan.base.name,
        trained_on=tuple(source.base_name[:_LONGEST_NAME] for source in plan.sources),
        arch=facts.arch,
        alpha=facts.alpha,
        n_layers=plan.base.n_layers,
        n_pairs=len(facts.ranks),
        n_params=facts.n_params,
        types=dict(Counter(info.type_name for info in written.header.tensors.values())),
        targets=targets,
        exact_norms=options.exact_norms,
        file_size=written.header.file_size,
        sha256=written.sha256,
        source_sha256=str(content.metadata[SOURCE_SHA256]),
        base_fingerprint=str(content.metadata[BASE_FINGERPRINT]),
        warnings=tuple(warnings.lines()),
    )
