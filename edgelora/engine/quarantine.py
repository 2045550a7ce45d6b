"""Which adapters, or which base, crash the engine: suspicion, proof and refusal.

What a request computes with is its *group*: the content hashes of its adapters; the empty group is the base alone. A
crash makes every group that was in the engine suspect. A suspect group is let in alone, until an answer under it, or
under more adapters, has cleared it; if the engine crashes again with that very group and no other in it, the group is
refused from then on, and so is every selection that contains it. A process that was killed from outside blames nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from edgelora.errors import EngineDiedError, QuarantinedError

Group = frozenset[str]
BASE_ALONE: Group = frozenset()

TEXT: Group = frozenset({"text"})
"""What turns text into tokens computes with nothing. It is blamed, as the base, only if nothing else was inside."""


class Quarantine:
    """The groups of one engine client. ``name_of`` gives the words for a content hash; ``base`` those for the base."""

    def __init__(self, base: str, name_of: Callable[[str], str]) -> None:
        self._base, self._name_of = base, name_of
        self._suspects: set[Group] = set()
        self._refused: dict[Group, QuarantinedError] = {}

    def note_crash(self, inside: Collection[Group], error: EngineDiedError) -> None:
        """The engine crashed by its own doing while the groups ``inside`` used it."""
        groups = set(inside) - {TEXT} or {BASE_ALONE for group in inside if group == TEXT}
        if len(groups) == 1 and groups <= self._suspects:
            group = groups.pop()
            self._suspects.discard(group)
            self._refused[group] = self._refusal(group, error)
        self._suspects |= groups

    def note_answer(self, group: Group) -> None:
        """An answer under ``group`` was computed to its end, which clears all that it contains."""
        self._suspects = {suspect for suspect in self._suspects if not suspect <= group}

    def is_suspect(self, group: Group) -> bool:
        """Must ``group`` be let in alone?"""
        return any(suspect <= group for suspect in self._suspects)

    def require_free(self, group: Group) -> None:
        """Raise QuarantinedError where ``group`` contains one that is refused."""
        for refused, error in self._refused.items():
            if refused <= group:
                raise error.with_traceback(None)  # each time it is raised would add to it

    def _refusal(self, group: Group, error: EngineDiedError) -> QuarantinedError:
        if not group:
            return base_refused(self._base, error)
        which = " together with ".join(sorted(map(self._name_of, group)))
        return QuarantinedError(
            f"{which} crashed the engine twice and is not used any more; the last time: {error.message}",
            "Convert it again or choose another adapter: a file with other content is tried anew under the same name. "
            "To try this very file again, open the base again.",
            sorted(group),
        )


def base_refused(base: str, error: EngineDiedError) -> QuarantinedError:
    """What to say of a base that crashed the engine twice."""
    return QuarantinedError(
        f"{base} crashed the engine twice and is not used any more; the last time: {error.message}",
        "Download or make it again, or choose another base. A newer llama-cpp-python may read it.",
    )
