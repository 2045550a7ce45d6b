"""What rules a PEFT adapter out as an adapter of its own at run time, with the reason and what to do instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgelora_convert.peft.names import unwrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora_convert.peft.fields import Fields
    from edgelora_convert.problems import Problems

MERGE = "merge it into its base with edgelora merge, or train it again without"
MERGE_WITH_PEFT = "merge it into its base with PEFT (merge_and_unload), or train it again without"
MAX_LISTED = 5

RESIDUAL_INITS = ("pissa", "olora", "corda", "lora_ga", "loftq")
"""Initialisations that also change the base weights (peft/tuners/lora/layer.py, pissa_init and the others)."""

_NO_ROOM = "which a GGUF adapter cannot hold"
FIELDS: dict[str, str] = {
    "use_dora": f"it is a DoRA adapter (use_dora), whose rescaled rows no GGUF adapter can hold; {MERGE}",
    "lora_bias": f"its B factors have biases (lora_bias), {_NO_ROOM}; {MERGE}",
    "layer_replication": "it was trained on a model with replicated layers (layer_replication); build that model first",
    "arrow_config": "it is an Arrow router over several adapters (arrow_config); convert those instead",
    "kasa_config": f"it is a KaSA adapter (kasa_config), which also changes the base weights; {MERGE_WITH_PEFT}",
    "monteclora_config": (
        f"it is a MonteCLoRA adapter (monteclora_config), which samples its weights; {MERGE_WITH_PEFT}"
    ),
    "bias": f"biases were trained beside it (bias), {_NO_ROOM}; {MERGE}",
    "base_layer": "the file holds weights of the base beside what was trained of them, which PEFT writes only for the "
    "embedding and the output, so they may be changed ones; save the adapter again, from its own base",
    "kohya": "its tensors have the names of the Kohya or LyCORIS scripts; convert it to PEFT's format first",
}
"""Reasons by cause: mostly fields that must be empty."""

_MUST_BE_EMPTY = ("layer_replication", "arrow_config", "kasa_config", "monteclora_config")

SIGNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\.lora_magnitude_vector(\.|$)"), "use_dora"),
    (re.compile(r"\.lora_B(\.[^.]+)?\.bias$"), "lora_bias"),
    (re.compile(r"\.lora_diag(\.|$)"), "kasa_config"),
    (re.compile(r"\.lora_monteclora_sampler\."), "monteclora_config"),
    (re.compile(r"\.lora_arrow\."), "arrow_config"),
    (re.compile(r"\.base_layer\.weight$"), "base_layer"),
    (re.compile(r"(\.|^)lora_(te|unet)|\.lora_(down|up)(\.|$)|\.lora\.(down|up)\."), "kohya"),
)
"""Names that show a feature even where the configuration does not mention it."""


def refuse_fields(fields: Fields) -> None:
    """Note every field that rules the adapter out, for a merge too."""
    for name in _MUST_BE_EMPTY:
        if fields.get(name):
            fields.refuse(name, FIELDS[name])
    if fields.get("invocation_string") and not fields.get("alora_invocation_tokens"):
        fields.refuse(
            "invocation_string",
            "it is an activated LoRA of an older form (invocation_string); add the tokens after which it was active to "
            "adapter_config.json as alora_invocation_tokens",
        )
    init = fields.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(RESIDUAL_INITS):
        fields.refuse(
            "init_lora_weights",
            f"its initialisation ({init[:40]}) also changed the base weights; save it with PEFT's "
            "path_initial_model_for_weight_conversion, which turns it into an ordinary LoRA",
        )


def refuse_tensors(names: list[str], peft_type: str, problems: Problems) -> None:
    """Note every tensor that is no parameter of the type, nor one of a module itself."""
    for name in names:
        cause = next((cause for sign, cause in SIGNS if sign.search(name)), "")
        if cause:
            problems.refuse(cause, FIELDS[cause])
        else:
            problems.add(unwrapped(name), f"this tensor is no part of a {peft_type} adapter")


def whole_modules(which: str) -> str:
    """Whole modules are in the way."""
    return f"whole modules were trained or saved beside it ({which}), {_NO_ROOM}; {MERGE}"


def listed(names: Sequence[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(name[:80] for name in names[:MAX_LISTED]) + more
