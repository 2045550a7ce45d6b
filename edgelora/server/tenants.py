"""Who may use the server, and how: tenants from a TOML file, read again when it changes.

[tenants.acme]
key_sha256 = "..."                  # or key = "..."
selections = ["legal", "base"]      # adapters it may use, alone or mixed; without this, all
default = "legal"                   # where a request names no model
max_running = 4                     # answers at a time
max_tokens = 512                    # of one answer
when_missing = "error"              # or "base": then the answer says so
baked = true                        # serve its default baked, as --bake does
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgelora.adapters.selection import BASE_NAME, format_selection, parse_selection
from edgelora.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_Looks = tuple[int, int, int]
"""Inode, time of change and size of the file."""
_MUST_BE = {
    "key": "a text of 16 characters or more",
    "key_sha256": "64 hexadecimal digits",
    "selections": 'a list of names, like ["legal", "base"]',
    "default": "a selection, like legal or legal:0.5+medical",
    "max_running": "a whole number from 1",
    "max_tokens": "a whole number from 1",
    "when_missing": '"error" or "base"',
    "baked": "true or false",
}
EVERYBODY = "everybody"
"""The name of who needs no key, or has one of the server's own."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One of those who share the server. ``selections`` None allows all; ``key`` is its SHA-256, None without one."""

    name: str = EVERYBODY
    key: bytes | None = None
    selections: frozenset[str] | None = None
    default: str = ""
    max_running: int | None = None
    max_tokens: int | None = None
    when_missing: Literal["error", "base"] = "error"
    baked: bool = False

    def may_use(self, selection: str) -> bool:
        """Whether every member of the selection, in text form, is allowed."""
        names = [member.ref for member in parse_selection(selection)] or [BASE_NAME]
        return all(map(self.may_name, names))

    def may_name(self, ref: str) -> bool:
        """Whether the base, or an adapter, with or without a version, is one that it may know of."""
        return self.selections is None or ref in self.selections or ref.partition("@")[0] in self.selections


def hashed(key: str) -> bytes:
    """What is kept and compared of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


@dataclass(slots=True)
class Tenants:
    """All of them. ``keys`` are the server's own, whose users are one tenant without limits."""

    keys: tuple[str, ...] = ()
    path: Path | None = None
    _listed: tuple[Tenant, ...] = ()
    _looks: _Looks = (0, 0, 0)
    _read: _Looks = (0, 0, 0)  # how it looked when it was read

    def __post_init__(self) -> None:
        if self.path:
            self._looks = self._read = self._stat()
            self._listed = read_tenants(self.path)

    @property
    def need_key(self) -> bool:
        """Whether nobody may do anything without one."""
        return bool(self.keys or self.path)

    @property
    def baked(self) -> tuple[str, ...]:
        """The selections that are to be served baked, as texts."""
        return tuple(format_selection(parse_selection(tenant.default)) for tenant in self._listed if tenant.baked)

    def who(self, key: str) -> Tenant | None:
        """Whose ``key`` it is. Takes as long for a wrong one as for a right one."""
        given, found = hashed(key), None
        own = [Tenant(key=hashed(one)) for one in self.keys]
        for tenant in (*own, *self._listed):
            if hmac.compare_digest(tenant.key or b"", given):
                found = tenant
        return found if self.need_key else Tenant()

    def refresh(self) -> str:
        """Read the file again if it has changed, and not again since the last call: somebody may be writing it.

        Gives what is wrong with it; then the former list stays.
        """
        if not self.path:
            return ""
        try:
            before, self._looks = self._looks, self._stat()
            if self._looks == self._read or self._looks != before:
                return ""
            self._read = self._looks
            self._listed = read_tenants(self.path)
        except ConfigError as error:
            return str(error)
        return ""

    def _stat(self) -> _Looks:
        assert self.path
        try:
            stat = self.path.stat()
        except OSError as error:
            raise ConfigError(f"the tenants in {self.path} cannot be read ({error.strerror})") from None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


class _Listed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    key: str | None = Field(None, min_length=16)
    key_sha256: str | None = Field(None, pattern="^[0-9a-fA-F]{64}$")
    selections: list[str] | None = None
    default: str = ""
    max_running: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    when_missing: Literal["error", "base"] = "error"
    baked: bool = False

    @model_validator(mode="after")
    def _one_key(self) -> _Listed:
        if (self.key is None) == (self.key_sha256 is None):
            raise ValueError("it needs either key or key_sha256")
        return self

    @model_validator(mode="after")
    def _something_to_bake(self) -> _Listed:
        try:
            something = any(member.scale for member in parse_selection(self.default or BASE_NAME))
        except UsageError as error:
            raise ValueError(str(error)) from None
        if self.baked and not something:
            raise ValueError("baked needs a default that names an adapter")
        return self

    def tenant(self, name: str) -> Tenant:
        key = hashed(self.key) if self.key is not None else bytes.fromhex(self.key_sha256 or "")
        allowed = None if self.selections is None else frozenset(self.selections)
        limits = {"max_running": self.max_running, "max_tokens": self.max_tokens}
        return Tenant(name, key, allowed, self.default, when_missing=self.when_missing, baked=self.baked, **limits)


def read_tenants(path: Path) -> tuple[Tenant, ...]:
    """The tenants in the file at ``path``. Raises ConfigError that names tenant and key."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the tenants in {path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    listed = document.get("tenants")
    if not isinstance(listed, dict) or set(document) != {"tenants"}:
        raise ConfigError(f"{path} holds no tenants", 'Begin each with [tenants.NAME] and give it a key = "...".')
    tenants = tuple(_tenant(path, name, fields) for name, fields in listed.items())
    if len({tenant.key for tenant in tenants}) < len(tenants):
        raise ConfigError(f"two tenants in {path} have the same key", "Give each a key of its own.")
    return tenants


def _tenant(path: Path, name: str, fields: object) -> Tenant:
    try:
        return _Listed.model_validate(fields).tenant(name)
    except ValidationError as error:
        raise _refused(path, name, error) from None


def _refused(path: Path, name: str, error: ValidationError) -> ConfigError:
    """What is wrong with the first field that is, in the words of the file."""
    first, where = error.errors(include_url=False, include_input=False)[0], f"{path}: [tenants.{name}]"
    if not first["loc"]:
        if reason := first.get("ctx", {}).get("error"):
            return ConfigError(f"{where}: {reason}")
        return ConfigError(f"{path}: tenants.{name} is no table", f'Begin it with [tenants.{name}] and a key = "...".')
    key = str(first["loc"][0])
    if key not in _MUST_BE:
        return ConfigError(f"{where} has {key!r}, which means nothing", f"There are: {', '.join(_MUST_BE)}.")
    return ConfigError(f"{where}: {key} must be {_MUST_BE[key]}")
