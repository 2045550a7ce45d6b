"""Where errors end: one clear message on stderr, an exit code, and never a traceback."""

from __future__ import annotations

import errno
import time
import traceback
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgelora.errors import EdgeloraError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130
_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE}


def guarded(command: click.Command, arguments: Sequence[str]) -> int:
    """Run ``command`` and give its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        code = command.main(list(arguments), prog_name="edgelora", standalone_mode=False)
    except click.Abort:  # click makes it of KeyboardInterrupt
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgeloraError as error:
        click.echo(f"edgelora: {_printable(str(error))}", err=True)
        return error.exit_code
    except MemoryError:
        click.echo("edgelora: there is too little memory for this", err=True)
        return 1
    except Exception as error:
        said = _of_the_system(error) or f"internal error: {_one_line(error)} (details in {_write_log()})"
        click.echo(f"edgelora: {said}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _printable(text: str) -> str:
    """Names in a message come from anywhere, and may hold what a terminal obeys."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def _of_the_system(error: Exception) -> str:
    """What the system does not allow or cannot do, in its words; empty for an error that is ours."""
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return ""
    return _printable(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _write_log() -> Path:
    """Write the traceback at hand to a new file, in the log folder if it can be written to."""
    import tempfile

    from edgelora.config import locations

    name = f"error-{time.strftime('%Y%m%d-%H%M%S')}-{getpid()}.log"
    try:
        folder = locations.log_dir()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        folder = Path(tempfile.gettempdir())
        (folder / name).write_text(traceback.format_exc(), encoding="utf-8")
    return folder / name
