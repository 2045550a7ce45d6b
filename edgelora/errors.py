"""Every error that a user can meet, in one tree.

EdgeloraError
├── UsageError              a selection or an option that means nothing (exit code 2)
├── ConfigError             settings file or environment
├── GGUFError               a file that is not a readable GGUF
├── AdapterError            an adapter that cannot be used
│   ├── UnknownAdapterError     no adapter of that name
│   └── AdapterMismatchError    an adapter made for another base
├── ConversionError         a source that cannot be converted, with every reason
├── MergeError              a merge that is not possible, or that failed
├── QuantizationError       values that a tensor type cannot hold, or a type that nothing converts
├── TemplateError           a chat template that cannot be rendered
├── HistoryError            conversations that cannot be kept, or read
└── EngineError             the engine could not do what was asked
    ├── ContextOverflowError    more tokens than the context holds
    ├── MemoryLimitError        too little memory
    │   └── AdapterTooLargeError    more than all of the memory for adapters
    ├── QueueFullError          too many requests wait already
    ├── DeadlineError           the time that a request was given is over
    ├── GrammarError            a form that an answer cannot be given
    ├── UnsupportedError        something that this base does not have
    ├── EngineDiedError         the engine process ended
    └── QuarantinedError        a base or an adapter that crashed the engine twice

An error says what went wrong and where in its message, and what to do about it in its hint.
Errors are built from positional arguments only, so that they survive pickling between processes.
"""

from __future__ import annotations

from collections.abc import Sequence


class EdgeloraError(Exception):
    """Base of all errors shown to a user. ``str`` gives message and hint, one a line."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(EdgeloraError):
    exit_code = 2


class ConfigError(EdgeloraError):
    pass


class GGUFError(EdgeloraError):
    pass


class AdapterError(EdgeloraError):
    pass


class UnknownAdapterError(AdapterError):
    pass


class AdapterMismatchError(AdapterError):
    """``problems`` lists every reason why it does not fit, where ``message`` may name the first ones only."""

    def __init__(self, message: str, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class ConversionError(EdgeloraError):
    """A conversion that was refused. ``problems`` lists every reason found, not only the first."""

    def __init__(self, source: str, problems: Sequence[str], hint: str = "") -> None:
        listed = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"cannot convert {source}:{listed}", hint)
        self.source = source
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[type[ConversionError], tuple[str, tuple[str, ...], str]]:
        return type(self), (self.source, self.problems, self.hint)


class MergeError(EdgeloraError):
    pass


class QuantizationError(EdgeloraError):
    pass


class TemplateError(EdgeloraError):
    pass


class HistoryError(EdgeloraError):
    pass


class EngineError(EdgeloraError):
    pass


class ContextOverflowError(EngineError):
    pass


class MemoryLimitError(EngineError):
    pass


class AdapterTooLargeError(MemoryLimitError):
    pass


class QueueFullError(EngineError):
    pass


class DeadlineError(EngineError):
    pass


class GrammarError(EngineError):
    pass


class UnsupportedError(EngineError):
    pass


class EngineDiedError(EngineError):
    """``crashed``: it ended itself (SIGSEGV, SIGABRT, an exit code); nobody, and no lack of memory, killed it."""

    def __init__(self, message: str, hint: str = "", crashed: bool = False) -> None:
        super().__init__(message, hint)
        self.crashed = crashed


class QuarantinedError(EngineError):
    """``adapters``, content hashes, crashed the engine twice, together if there are several; without any, the base."""

    def __init__(self, message: str, hint: str = "", adapters: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.adapters = tuple(adapters)
