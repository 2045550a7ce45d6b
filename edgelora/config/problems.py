"""Says what is wrong with a setting: which key, which value, and where it was said."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from edgelora.config import locations
from edgelora.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pydantic_core import ErrorDetails


def explain(
    details: Sequence[ErrorDetails],
    *,
    options: Mapping[str, object],
    environment: Mapping[str, object],
    fields: Collection[str],
) -> UsageError | ConfigError:
    """One error for all of ``details``: of use where an option is wrong, of configuration otherwise."""
    lines = []
    for detail in details:
        key = str(detail["loc"][0])
        lines.append(f"{_place(key, options, environment)}: {_problem(key, detail, fields)}")
    only_options = all(str(detail["loc"][0]) in options for detail in details)
    return UsageError("\n".join(lines)) if only_options else ConfigError("\n".join(lines), "Correct or remove it.")


def _place(key: str, options: Mapping[str, object], environment: Mapping[str, object]) -> str:
    if key in options:
        return f"--{key.replace('_', '-')}"
    if key in environment:
        return f"EDGELORA_{key.upper()} in the environment"
    return f"{key} in {locations.config_file()}"


def _problem(key: str, detail: ErrorDetails, fields: Collection[str]) -> str:
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, fields, n=1)
        return f"there is no such setting{f'; did you mean {near[0]}?' if near else ''}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{detail['input']!r} is not possible; it must be {message.removeprefix('it must be ')}"
