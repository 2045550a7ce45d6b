"""The types of PEFT (peft/utils/peft_types.py): those that can be read, and why the others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edgelora_convert.peft import adalora, loha, lokr, lora, miss, token_rows, vera

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgelora_convert.peft.changes import Adapter, ReadModule


class Reader(NamedTuple):
    """How a type is read: its parameters, and what makes changes of them."""

    parameters: frozenset[str]
    start: Callable[[Adapter], ReadModule]
    ignored: frozenset[str] = frozenset()


READERS: dict[str, Reader] = {
    "LORA": Reader(lora.PARAMETERS, lora.lora, lora.TRAINING_ONLY),
    "ADALORA": Reader(adalora.PARAMETERS, adalora.adalora),
    "LOHA": Reader(loha.PARAMETERS, loha.loha),
    "LOKR": Reader(lokr.PARAMETERS, lokr.lokr),
    "VERA": Reader(vera.PARAMETERS, vera.vera),
    "MISS": Reader(miss.PARAMETERS, miss.miss),
    "TRAINABLE_TOKENS": Reader(token_rows.PARAMETERS, token_rows.token_rows),
}

_PROMPTS = frozenset(
    {
        *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"),
        *("ADAPTION_PROMPT", "CPT", "CARTRIDGE"),
    }
)
_ROUTERS = frozenset({"XLORA", "POLY"})
CONVERTIBLE = frozenset(
    {
        *("C3A", "DELORA", "FOURIERFT", "GRALORA", "HIRA", "PSOFT", "RANDLORA", "SHIRA", "TINYLORA", "UNILORA"),
        *("VBLORA", "WAVEFT"),
    }
)
"""What PEFT's convert_to_lora takes: ``supports_lora_conversion`` in peft/tuners/*/layer.py."""


def why_not(peft_type: object) -> str:
    """Why an adapter of this type cannot be used at run time, and what to do."""
    name = str(peft_type)
    start = f"its type is {name[:40]!r}"
    if name in _PROMPTS:
        return f"{start}: it trains prompts, not weights, so it cannot be an adapter at run time; train a LoRA instead"
    if name in _ROUTERS:
        return (
            f"{start}: it mixes several adapters anew for every text, which no GGUF adapter can; convert those instead"
        )
    if name in CONVERTIBLE:
        return (
            f"{start}, which cannot be an adapter at run time; PEFT's save_as_lora makes a LoRA of it, more or less "
            "exactly as its rank is higher or lower"
        )
    return (
        f"{start}; only {', '.join(READERS)} can be converted to adapters; merge it into its base with PEFT "
        "(merge_and_unload) where PEFT can, or train a LoRA instead"
    )
