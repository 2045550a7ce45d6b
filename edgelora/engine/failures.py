"""Errors inside the engine, and how they are shown."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from edgelora.errors import DeadlineError, EdgeloraError, EngineError
from edgelora.types import Request, Selection


class NotFiniteError(EngineError):
    """Logits are no numbers, so the KV cache may hold such values too: even masked cells would spread them."""


def not_finite(selections: Iterable[Selection]) -> NotFiniteError:
    """What to say when what was computed under ``selections`` together is no number."""
    if all(selection.is_base for selection in selections):
        return NotFiniteError("the base computes values that are no numbers", "Its file is damaged: get it again.")
    return NotFiniteError(
        "the base computed values that are no numbers, under this selection or one beside it",
        "A broken adapter or a large scale does that. Ask again with another.",
    )


def too_late(request: Request) -> DeadlineError:
    """What to say when the time of ``request`` is over."""
    return DeadlineError(
        f"the answer was not ready within {request.deadline_s:g} s",
        "Allow more time, ask for a shorter answer, or ask again when fewer requests are running.",
    )


def as_error(error: Exception) -> EdgeloraError:
    """``error`` as one that a user may see; what nobody foresaw is an EngineError that says where it was raised."""
    if isinstance(error, EdgeloraError):
        return error
    if isinstance(error, MemoryError):
        return EngineError("the machine ran out of memory", "Close other programs or choose a smaller base or --ctx.")
    if isinstance(error, OSError):
        return EngineError(f"{error.filename or 'a file'}: {error.strerror or error}", "Mend that and ask again.")
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return EngineError(
        f"internal error in the engine: {type(error).__name__}: {error} ({frame.name}, line {frame.lineno})",
        "Please report this.",
    )
