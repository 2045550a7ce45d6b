"""adapter_config.json of PEFT as typed values. Whatever in it is wrong goes to the problems, all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelora_convert.limits import MAX_FACTOR
from edgelora_convert.peft.names import MAX_NAME
from edgelora_convert.storage.config_file import ConfigFileError, read_object, spelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgelora_convert.problems import Problems

MAX_COUNT = 10**6
"""No rank, group or block is larger."""
MAX_TOKEN = 2**31 - 1
MAX_NAMES = 1000
"""Several for every layer of the deepest models; each is compared with every module."""


class Fields:
    """The fields of a configuration. A wrong one is replaced by something harmless, after it was noted."""

    def __init__(self, values: Mapping[str, Any], problems: Problems) -> None:
        self._values = values
        self._problems = problems

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """The value as it is, None where there is none."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A text, empty where there is none."""
        value = self.get(name)
        return value if isinstance(value, str) else ""

    def count(self, name: str) -> int:
        """A positive whole number, such as a rank."""
        return self._count(self.get(name), name, name)

    def number(self, name: str) -> float:
        """A finite number, such as alpha."""
        return self._number(self.get(name), name, name)

    def names(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._list(name)
        if len(value) > MAX_NAMES or not all(isinstance(entry, str) and len(entry) <= MAX_NAME for entry in value):
            self._problems.refuse(name, f"{name} must be a list of at most {MAX_NAMES} names")
            return ()
        return tuple(value)

    def tokens(self, name: str) -> tuple[int, ...]:
        """A list of token numbers."""
        return self._tokens(self._list(name), name)

    def tokens_by_module(self, name: str) -> dict[str, tuple[int, ...]]:
        """Token numbers for every module, or a list that is meant for any (the empty name)."""
        value = self.get(name)
        if not isinstance(value, dict):
            return {"": self.tokens(name)}
        if len(value) > MAX_NAMES:
            self._problems.refuse(name, f"{name} must be an object of at most {MAX_NAMES} names")
            return {}
        return {module: self._tokens(tokens, name) for module, tokens in value.items()}

    def counts_by_pattern(self, name: str) -> dict[str, int]:
        """Positive whole numbers by expressions; of several that are wrong, the first is noted."""
        return {key: self._count(value, f"{name}[{key!r}]", name) for key, value in self._object(name).items()}

    def numbers_by_pattern(self, name: str) -> dict[str, float]:
        """Numbers by expressions; of several that are wrong, the first is noted."""
        return {key: self._number(value, f"{name}[{key!r}]", name) for key, value in self._object(name).items()}

    def flag(self, name: str) -> bool:
        """True or false; false where it is missing."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            self._problems.refuse(name, f"{name} is {spelled(value)}; it must be true or false")
        return value is True

    def inner(self, name: str) -> Fields:
        """A configuration inside this one."""
        return Fields(self._object(name), self._problems)

    def refuse(self, cause: str, text: str) -> None:
        """Note what is wrong with a field."""
        self._problems.refuse(cause, text)

    def _count(self, value: object, name: str, cause: str) -> int:
        if type(value) is int and 0 < value <= MAX_COUNT:
            return value
        self._problems.refuse(cause, f"{name} is {spelled(value)}; it must be a positive whole number")
        return 1

    def _number(self, value: object, name: str, cause: str) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_FACTOR:
            return float(value)
        self._problems.refuse(cause, f"{name} is {spelled(value)}; it must be a number")
        return 1.0

    def _tokens(self, value: object, name: str) -> tuple[int, ...]:
        if isinstance(value, list) and all(type(token) is int and 0 <= token <= MAX_TOKEN for token in value):
            return tuple(value)
        self._problems.refuse(name, f"{name} must be a list of token numbers")
        return ()

    def _list(self, name: str) -> Sequence[Any]:
        value = self.get(name) or []
        if isinstance(value, list):
            return value
        self._problems.refuse(name, f"{name} is {spelled(value)}; it must be a list")
        return []

    def _object(self, name: str) -> Mapping[str, Any]:
        value = self.get(name) or {}
        if isinstance(value, dict):
            return value
        self._problems.refuse(name, f"{name} is {spelled(value)}; it must be an object")
        return {}


def read_fields(path: Path, problems: Problems) -> Fields:
    """Read a configuration. Raises ConversionError where it is none."""
    try:
        return Fields(read_object(path), problems)
    except ConfigFileError as error:
        problems.stop("config", str(error))
