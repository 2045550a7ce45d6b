"""Sources as a person names them: a path, or a repository on the hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora_convert.problems import NO_ADAPTER
from edgelora_convert.sources.hub.address import parse_address
from edgelora_convert.sources.read import read_source

if TYPE_CHECKING:
    from edgelora.types import ReportProgress
    from edgelora_convert.options import Options
    from edgelora_convert.problems import Problems
    from edgelora_convert.source import Source


def gather(
    src: str | Path, options: Options, problems: Problems, warnings: Problems, progress: ReportProgress
) -> Source:
    """Read ``src``; what is not on disk and can be a repository is downloaded first.

    What speaks against a conversion goes to ``problems``. Raises ConversionError where nothing more could be found
    out, and UsageError for a revision or subfolder that cannot exist.
    """
    if not str(src):
        problems.stop("source", "its name is empty", NO_ADAPTER)
    path = Path(src)
    try:
        exists = path.exists()
    except OSError as error:
        problems.stop("source", f"it cannot be looked for ({error.strerror})")
    address = None if exists else parse_address(str(src), options.revision, options.subfolder)
    if address is None:
        return read_source(path, problems, warnings, options.moe_b_layout)
    from edgelora_convert.sources.hub.fetch import fetch

    fetched = fetch(address, progress)
    if fetched.note:
        warnings.refuse("hub", fetched.note)
    source = read_source(fetched.path, problems, warnings, options.moe_b_layout)
    return replace(source, name=fetched.name, repository=address.repo, commit=fetched.commit)
