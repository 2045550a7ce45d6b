"""Whether two names mean the same model: an adapter names the base it was trained on, a GGUF names itself.

Names are free text, and a false alarm is worse than none. So two names differ only where something that both of them
state differs; what one of them leaves out says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict = Literal["same", "different", "unknown"]

MAX_LENGTH = 500
"""Longer texts are no names."""

_FAMILIES = frozenset(
    (
        *("afm", "aya", "baichuan", "bailing", "bitnet", "bloom", "bloomz", "chatglm", "codegemma", "codellama"),
        *("codeqwen", "codestral", "dbrx", "deepseek", "devstral", "distilgpt", "ernie", "exaone", "falcon"),
        *("gemma", "glm", "gpt", "granite", "hunyuan", "internlm", "jais", "jamba", "kimi", "lfm", "llama"),
        *("magistral", "mamba", "medgemma", "mimo", "minicpm", "minimax", "ministral", "mistral", "mixtral", "mpt"),
        *("neox", "olmo", "olmoe", "openelm", "phi", "pixtral", "plamo", "pythia", "qwen", "qwq", "recurrentgemma"),
        *("rwkv", "smollm", "stablelm", "starcoder", "tinyllama", "xverse", "yi", "zamba"),
    )
)
"""A name without any of these words says nothing."""

_NUMBERED_FROM_2 = frozenset(("smollm",))
"""Families with the same shapes in every generation, of which the first has no number and no other leaves it out."""

_LINEAGES = frozenset(
    (
        *("abliterated", "audio", "coder", "code", "dolphin", "embedding", "guard", "hermes", "math", "omni"),
        *(
            "orca",
            "prover",
            "reasoning",
            "reranker",
            "distill",
            "distilled",
            "thinking",
            "tulu",
            "uncensored",
            "vicuna",
            "vl",
        ),
        *("wizard", "zephyr"),
    )
)
"""Other weights in the same shape. Whoever trains on one of these says so."""

_VARIANTS = frozenset(("nano", "micro", "mini", "small", "medium", "large", "xl", "moe"))
_ROLES = {
    **dict.fromkeys(("instruct", "it", "chat", "inst"), "instruct"),
    **dict.fromkeys(("base", "pt", "pretrain", "pretrained"), "base"),
}
_NOISE = frozenset(
    (
        *("ai", "awq", "bnb", "bit", "bpw", "dynamic", "exl", "ggml", "gguf", "google", "gptq", "hf", "ibm"),
        *("imatrix", "int", "meta", "microsoft", "mistralai", "mlx", "model", "models", "nvidia", "openai", "qat"),
        *("quantized", "research", "the", "unquantized", "unsloth", "v", "w", "xet"),
    )
)
"""Who published or stored it, and how: says nothing about the weights."""

_QUANTIZATION = re.compile(
    r"(?<![a-z0-9])(?:i?q\d(?:_[a-z0-9]+)*|tq\d_\d|b?f(?:p)?(?:16|32)|fp8(?:_\w+)?|(?:n|fp|mxfp|nvfp|int)[48]|w\da\d+"
    r"|(?:int)?[3468][ -]?bit|\d(?:\.\d+)?bpw)(?![a-z0-9])"
)
"""How the weights are stored, such as Q4_K_M, BF16, Int4, 4bit."""

_ADDRESS = re.compile(r"^https?://[^/]+/")
_HUB_CACHE = re.compile(r"models--[^/\\]+?--([^/\\]+)")
_LOCAL = re.compile(r"^[./~]|\\|^[A-Za-z]:|/.*/|(?:^|[/_-])(?:checkpoint|step|epoch)[-_]?\d", re.IGNORECASE)
_OLD_PLACEHOLDER = re.compile(r"llama v[12]", re.IGNORECASE)
"""What llama.cpp's former convert.py called every model with 2048 or 4096 tokens of context."""

_TOKEN = re.compile(
    r"(?P<active>a[0-9.]+b(?![a-z]))|(?P<size>(?:[0-9]{1,3}x)?[0-9]{1,4}(?:\.[0-9]{1,3})?[bm](?![a-z]))"
    r"|(?P<context>[0-9]+k(?![a-z]))|(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<word>[^\W\d_]+)"
)
_SIZE_TOLERANCE = 1.1


@dataclass(frozen=True)
class _Name:
    words: frozenset[str]  # without noise and roles
    sizes: frozenset[str]
    numbers: frozenset[float]
    contexts: frozenset[str]
    role: str


def compared(one: str, other: str) -> Verdict:
    """What can be said about two names: hub ids, free text such as ``Qwen2.5 0.5B Instruct``, file names.

    Local paths and names of checkpoints say nothing.
    """
    a, b = _parsed(one), _parsed(other)
    if a is None or b is None:
        return "unknown"
    if _differ(a, b):
        return "different"
    agree = (a.words, a.numbers, a.role, bool(a.sizes)) == (b.words, b.numbers, b.role, bool(b.sizes))
    return "same" if agree else "unknown"


def base_name_warning(trained_on: str, names: Iterable[str]) -> str | None:
    """What to tell a person about an adapter that says it was trained on ``trained_on``; None where nothing is wrong.

    ``names`` are what the base's file says it is. One of them that agrees is enough.
    """
    candidates = list(names)
    verdicts = {compared(trained_on, name): name for name in reversed(candidates)}
    if "same" in verdicts or "different" not in verdicts:
        return None
    return f"it was trained on {_shown(trained_on)}, and this base is {_shown(verdicts['different'])}"


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name)


def _parsed(text: str) -> _Name | None:
    """None for what says nothing."""
    if len(text) > MAX_LENGTH:
        return None
    cached = _HUB_CACHE.search(text)
    name = cached[1] if cached else _ADDRESS.sub("", text.strip()).rstrip("/")
    if (not cached and _LOCAL.search(name)) or _OLD_PLACEHOLDER.fullmatch(name):
        return None
    bare = _QUANTIZATION.sub(" ", name.rsplit("/", 1)[-1].lower().removesuffix(".gguf"))
    found: dict[str, list[str]] = {"active": [], "size": [], "context": [], "number": [], "word": []}
    for token in _TOKEN.finditer(bare):
        found[token.lastgroup or ""].append(token.group())
    words = frozenset(found["word"]) - _NOISE
    if not words & _FAMILIES:
        return None
    numbers = found["number"] or (["1"] if words & _NUMBERED_FROM_2 else [])
    roles = {_ROLES[word] for word in words if word in _ROLES}
    return _Name(
        words=words - _ROLES.keys(),
        sizes=frozenset(found["size"]),
        numbers=frozenset(map(float, numbers)),
        contexts=frozenset(found["context"]),
        role="instruct" if "instruct" in roles else "".join(roles),
    )


def _differ(a: _Name, b: _Name) -> bool:
    return (
        not a.words & b.words & _FAMILIES
        or a.words & _LINEAGES != b.words & _LINEAGES
        or _disjoint(a.words & _VARIANTS, b.words & _VARIANTS)
        or _disjoint(a.contexts, b.contexts)
        or not _similar(a.sizes, b.sizes)
        or not (a.numbers <= b.numbers or b.numbers <= a.numbers)
        or _roles_differ(a, b)
    )


def _disjoint(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a and b) and not a & b


def _similar(a: frozenset[str], b: frozenset[str]) -> bool:
    """Whether any two sizes could be the same one, differently rounded; a missing one is similar to all."""
    if not a or not b or a & b:
        return True
    ratios = (_millions(one) / _millions(other) for one in a for other in b if _millions(other))
    return any(1 / _SIZE_TOLERANCE <= ratio <= _SIZE_TOLERANCE for ratio in ratios)


def _millions(size: str) -> float:
    """``0.5b`` is 500, ``8x7b`` 56,000."""
    experts, _, each = size.rpartition("x")
    return int(experts or 1) * float(each[:-1]) * (1000 if each.endswith("b") else 1)


def _roles_differ(a: _Name, b: _Name) -> bool:
    """A bare name means the base where everything else is equal: ``Qwen2.5-0.5B`` is not ``Qwen2.5-0.5B-Instruct``."""
    if a.role == b.role:
        return False
    if a.role and b.role:
        return True
    return "instruct" in (a.role, b.role) and bool(a.sizes and b.sizes) and a.words == b.words
