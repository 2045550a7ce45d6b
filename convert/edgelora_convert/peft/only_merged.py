"""What PEFT trains that no adapter can hold, but a merge can express: DoRA, biases, whole modules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgelora_convert.peft.names import is_embedding, is_output, parse_whole
from edgelora_convert.peft.refusals import FIELDS, SIGNS, listed, whole_modules
from edgelora_convert.update import Kind, Update, Whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgelora_convert.peft.changes import Change
    from edgelora_convert.peft.fields import Fields
    from edgelora_convert.storage.stored import StoredTensor

_BASE_LAYER = re.compile(r"(?P<module>.+?)(?:\.token_adapter)?\.base_layer\.(?P<parameter>weight|bias)")


def is_copy_of_base(name: str) -> bool:
    """Whether a tensor is the base's own, saved beside its adapter.

    PEFT does so for an adapted embedding or output (peft/utils/save_and_load.py, save_embedding_layers).
    """
    match = _BASE_LAYER.fullmatch(name)
    return match is not None and (
        is_output(match["module"]) or (is_embedding(match["module"]) and match["parameter"] == "weight")
    )


def whole(name: str, tensor: StoredTensor) -> Whole | None:
    """The weight or bias of a module that a tensor replaces; None where it is something else."""
    parsed = None if any(sign.search(name) for sign, _ in SIGNS) else parse_whole(name)
    if parsed is None or not tensor.is_float:
        return None
    kind = Kind.EMBEDDING if is_embedding(parsed.module) else Kind.LINEAR
    return Whole(parsed.module, "bias" if parsed.parameter == "bias" else "weight", tensor, kind)


def only_merged(fields: Fields, changes: Sequence[Change]) -> dict[str, str]:
    """Why an adapter cannot hold all of it, by cause: from its configuration, and from what is stored."""
    found = {name: FIELDS[name] for name in ("use_dora", "lora_bias") if fields.get(name)}
    if fields.get("bias") not in (None, "none", False):
        found["bias"] = FIELDS["bias"]
    if modules := fields.names("modules_to_save"):
        found["modules_to_save"] = whole_modules(f"modules_to_save: {listed(modules)}")
    for cause in _stored(changes):
        found.setdefault(cause, FIELDS[cause])
    wholes = [f"{c.module}.{c.parameter}" for c in changes if isinstance(c, Whole) and _is_whole(c)]
    if wholes:
        found.setdefault("modules_to_save", whole_modules(f"the file holds {listed(wholes)}"))
    return found


def refuse_what_is_missing(fields: Fields, changes: Sequence[Change]) -> None:
    """Note what the configuration announces and the file does not hold."""
    saved = [f".{change.module}." for change in changes if isinstance(change, Whole)]
    missing = [name for name in fields.names("modules_to_save") if not any(f".{name}." in path for path in saved)]
    if missing:
        fields.refuse(
            "modules_to_save",
            f"whole modules were trained beside it (modules_to_save: {listed(missing)}), which the file does not hold; "
            "save it again",
        )
    bare = [change.module for change in changes if isinstance(change, Update) and change.magnitude is None]
    if fields.get("use_dora") and bare:
        fields.refuse(
            "use_dora", f"it is a DoRA adapter (use_dora) without the magnitudes of {listed(bare)}; save it again"
        )


def _stored(changes: Sequence[Change]) -> Iterator[str]:
    """The causes that are not whole modules."""
    for change in changes:
        if isinstance(change, Update) and change.magnitude is not None:
            yield "use_dora"
        if isinstance(change, Whole) and not _is_whole(change):
            yield "bias" if change.added is None else "lora_bias"


def _is_whole(change: Whole) -> bool:
    """Whether it belongs to a module that was trained whole, and not to one that was adapted."""
    return change.added is None and ".base_layer." not in change.values.name
