"""How the commands of the library write times and counts."""

from __future__ import annotations

from datetime import datetime


def counted(answers: int, tokens: int) -> str:
    """`2 answers, 1,300 tokens`."""
    return ", ".join(
        f"{count:,} {what}{'' if count == 1 else 's'}" for count, what in ((answers, "answer"), (tokens, "token"))
    )


def date(seconds: float) -> str:
    """A moment in seconds since 1970 as the local time, to the minute."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M}"
