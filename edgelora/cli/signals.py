"""Commands that are told to end, or whose terminal is closed, clean up as after Ctrl-C."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _leave(code: int) -> NoReturn:
    raise SystemExit(code)


@contextmanager
def cleaning_up(end: Callable[[int], object] = _leave) -> Iterator[None]:
    """Where SIGTERM or SIGHUP would end the process within the block, ``end`` is called with a shell's exit code, which
    raises SystemExit unless another is given.

    Where they are ignored, as under nohup, they stay ignored.
    """

    def handle(number: int, frame: object) -> None:
        end(128 + number)

    caught = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)
