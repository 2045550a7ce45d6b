"""What a person set: explicit options, then EDGELORA_* in the environment, then the settings file.

Read without a library for validation: every command waits for this, and the chat's first frame most of all.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgelora.config import locations, readers
from edgelora.errors import ConfigError, UsageError
from edgelora.types import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV_PREFIX = "EDGELORA_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. None means that nobody said anything, so that later sources and defaults apply."""

    base: Path | None = None
    adapter: str | None = None
    ctx: int | None = None
    threads: int | None = None
    gpu_layers: int | None = None
    adapter_memory: int | None = None  # these three in bytes
    prepared_memory: int | None = None
    parked_memory: int | None = None
    parked_folder: Path | None = None
    history: Path | Literal[False] | None = None
    bases: Path | None = None  # a folder of them to choose from in the chat
    theme: str | None = None
    keys: Mapping[str, str] | None = None
    template: str | None = None
    system: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None


NAMES = tuple(field.name for field in fields(Settings))


def load_settings(options: Mapping[str, object]) -> Settings:
    """The settings under explicit ``options`` (those that are None were not given).

    Raises UsageError for options, ConfigError for the environment or the file; the message names key, value, place.
    """
    given = {key: value for key, value in options.items() if value is not None}
    environment = _environment()
    said = {**_file(), **environment, **given}
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name in sorted(said, key=[*NAMES, *said].index):
        try:
            values[name] = _READERS[name](said[name])
        except ValueError as error:
            wrong[name] = f"{said[name]!r} is not possible; it must be {error}"
        except OverflowError:
            wrong[name] = f"{said[name]!r} is too large"
        except KeyError:
            wrong[name] = f"there is no such setting{_nearest(name)}"
    if not wrong:
        return Settings(**values)
    message = "\n".join(f"{_place(name, given, environment)}: {what}" for name, what in wrong.items())
    if wrong.keys() <= given.keys():
        raise UsageError(message)
    raise ConfigError(message, "Correct or remove it.")


def _sampled(name: str, read: readers.Reader, value: object) -> object:
    """What ``read`` gives, in the limits of SamplingParams."""
    found = read(value)
    try:
        SamplingParams(**{name: found})
    except UsageError as error:
        raise ValueError(error.message.partition("it must be ")[2]) from None
    return found


_SAMPLING_READERS: dict[str, readers.Reader] = {
    "temperature": readers.number,
    "top_k": readers.whole,
    "top_p": readers.number,
    "min_p": readers.number,
    "repeat_penalty": readers.number,
    "seed": readers.whole,
    "stop": readers.strings,
}
SAMPLING = tuple(_SAMPLING_READERS)

_READERS: dict[str, readers.Reader] = {
    "base": readers.path,
    "adapter": readers.text,
    "ctx": readers.at_least(16, or_auto=True),
    "threads": readers.at_least(1),
    "gpu_layers": readers.at_least(0),
    "adapter_memory": readers.size_above_0,
    "prepared_memory": readers.size,
    "parked_memory": readers.size,
    "parked_folder": readers.path,
    "history": readers.file_or_off,
    "bases": readers.path,
    "theme": readers.text,
    "keys": readers.table,
    "template": readers.text,
    "system": readers.text,
    **{name: partial(_sampled, name, read) for name, read in _SAMPLING_READERS.items()},
}


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, NAMES, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _place(name: str, options: Mapping[str, object], environment: Mapping[str, object]) -> str:
    if name in options:
        return f"--{name.replace('_', '-')}"
    if name in environment:
        return f"{ENV_PREFIX}{name.upper()} in the environment"
    return f"{name} in {locations.config_file()}"


def _environment() -> dict[str, str]:
    """The settings that the environment gives, in capitals or not. Empty variables say nothing."""
    by_variable = {f"{ENV_PREFIX}{name.upper()}": name for name in NAMES}
    said = ((by_variable.get(variable.upper()), value) for variable, value in os.environ.items())
    return {name: value for name, value in said if name and value}


def _file() -> dict[str, object]:
    """What the settings file says; nothing where there is none."""
    path = locations.config_file()
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", "Correct it or move it away.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
