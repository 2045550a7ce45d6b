"""What a reader found, or its one refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from edgelora_convert.problems import Problems

from edgelora.errors import ConversionError

Refused = Callable[[Path], tuple[str, ...]]


@pytest.fixture
def refused() -> Refused:
    """The problems of a path that is no adapter."""
    from edgelora_convert.sources.read import read_source

    def problems_of(path: Path) -> tuple[str, ...]:
        problems = Problems(str(path))
        with pytest.raises(ConversionError) as caught:  # noqa: PT012 - what does not stop is raised at the end
            read_source(path, problems, Problems(str(path)))
            problems.raise_if_any()
        return caught.value.problems

    return problems_of
