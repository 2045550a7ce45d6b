"""How the commands of the library write times and counts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def counted(answers: int, tokens: int) -> str:
    """`2 answers, 1,300 tokens`."""
    return ", ".join(
        f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in ((answers, "answer"), (tokens, "token"))
    )


def usage_line(used: Mapping[str, Any]) -> str:
    """How much an adapter was used, as a line of `info`."""
    return f"used       {counted(used['runs'], used['tokens'])}, last {date(used['last'])}"


def date(seconds: float) -> str:
    """A moment in seconds since 1970 as the local time, to the minute."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
