"""What a person set: explicit options, then EDGELORA_* in the environment, then the settings file."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PositiveInt, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, TomlConfigSettingsSource

from edgelora.config import locations
from edgelora.config.problems import explain
from edgelora.config.sizes import n_bytes
from edgelora.errors import ConfigError, UsageError
from edgelora.types import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import PydanticBaseSettingsSource

ENV_PREFIX = "EDGELORA_"
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "stop")


def _auto(value: object) -> object:
    return None if value == "auto" else value


def _size(value: object) -> object:
    """An amount of memory, with its unit; ``auto`` is None."""
    return n_bytes(str(value)) if _auto(value) is not None else None


def _strings(value: object) -> object:
    """One string stands for a list of one; a string that looks like a JSON list is one."""
    if isinstance(value, str):
        return json.loads(value) if value.startswith("[") else [value]
    return value


def _file_or_off(value: object) -> object:
    """A file; ``false`` and ``off`` mean none, ``true`` and ``on`` the default."""
    word = str(value).lower()
    if word in ("true", "on"):
        return None
    return False if word in ("false", "off") else value


class Settings(BaseSettings):
    """Everything that can be set. None means that nobody said anything, so that later sources and defaults apply."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    base: Path | None = None
    adapter: str | None = None
    ctx: Annotated[int | None, Field(ge=16), BeforeValidator(_auto)] = None
    threads: Annotated[int | None, Field(ge=1)] = None
    gpu_layers: Annotated[int | None, Field(ge=0)] = None
    adapter_memory: Annotated[PositiveInt | None, BeforeValidator(_size)] = None  # these three in bytes
    prepared_memory: Annotated[int | None, BeforeValidator(_size)] = None
    parked_memory: Annotated[int | None, BeforeValidator(_size)] = None
    parked_folder: Path | None = None
    history: Annotated[Path | Literal[False] | None, BeforeValidator(_file_or_off)] = None
    bases: Path | None = None  # a folder of them to choose from in the chat
    theme: str | None = None
    keys: dict[str, str] | None = None
    template: str | None = None
    system: str | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    stop: Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_strings)] = None

    @field_validator(*SAMPLING)
    @classmethod
    def _in_range(cls, value: Any, info: Any) -> Any:
        if value is not None:
            try:
                SamplingParams(**{info.field_name: value})
            except UsageError as error:
                raise ValueError(error.message.partition("; ")[2]) from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options before environment before file; no .env files and no secrets folders."""
        return init_settings, env_settings, _file_source(settings_cls)


def load_settings(options: Mapping[str, object]) -> Settings:
    """The settings under explicit ``options`` (those that are None were not given).

    Raises UsageError for an option, ConfigError for the environment or the file; the message names key, value, place.
    """
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise explain(details, options=given, environment=_environment(), fields=Settings.model_fields) from None


def _file_source(settings_cls: type[BaseSettings]) -> PydanticBaseSettingsSource:
    path = locations.config_file()
    try:
        return TomlConfigSettingsSource(settings_cls, toml_file=path)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", "Correct it or move it away.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None


def _environment() -> dict[str, str]:
    """The settings that the environment gives, by field name."""
    return {
        key.upper().removeprefix(ENV_PREFIX).lower(): value
        for key, value in os.environ.items()
        if key.upper().startswith(ENV_PREFIX) and value
    }
