"""What can stop a set-up."""

from __future__ import annotations


class SetupError(Exception):
    """One message for the person: what is wrong and what to do."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Interrupted(BaseException):
    """Ctrl-C, a closed terminal or a polite kill; `signum` is the signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
