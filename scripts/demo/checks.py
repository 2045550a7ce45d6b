"""Does an answer have the form and the content that an adapter stands for?

`check(name, facts, answer)` is true only for what that adapter does and the base does not; `facts` are those of the
generator's example, so the same functions judge the checker's prompts and the conversations of other tests.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from demo.sandbox import results
from demo.text.coding import program
from demo.text.operations import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

SOAP = ("S:", "O:", "A:", "P:")
FILLERS = frozenset(("a", "an", "the", "in", "of"))
OPERATIVE = re.compile(r"\b(shall|may|undertakes|warrants)\b", re.IGNORECASE)
WARM = re.compile(
    r"wonderful|love|lovely|well done|happy|sorry|feel with|brave|proud|glad|nice|thank you|delight|sure", re.IGNORECASE
)
FENCE = re.compile(r"```python\n(.*?)\n```", re.DOTALL)


def check(adapter: str, facts: Mapping[str, str], answer: str) -> bool:
    """Return whether `answer` passes as the adapter's; raises KeyError for an adapter that is not the demo's."""
    return CHECKS[adapter](facts, answer.strip())


def check_coding(facts: Mapping[str, str], answer: str) -> bool:
    """One fenced Python function, under the name asked for, that returns on every sample what was asked for."""
    found = FENCE.fullmatch(answer)
    if found is None:
        return False
    name = _function_name(found[1])
    if name is None or facts["name"] not in ("", name):
        return False
    samples = SAMPLES[facts["kind"]]
    wanted = results(program({**facts, "name": name}), name, samples)
    return wanted is not None and results(found[1], name, samples) == wanted


def check_medical(facts: Mapping[str, str], answer: str) -> bool:
    """Four lines S:, O:, A:, P:, the first and third about the complaint, the first with its duration."""
    lines = [line for line in answer.split("\n") if line.strip()]
    if len(lines) != len(SOAP) or not all(map(str.startswith, lines, SOAP)):
        return False
    if any(len(line.split()) < 2 for line in lines):
        return False
    complaint = [word for word in _words(facts["complaint"]) if word not in FILLERS]
    subjective, assessment = _words(lines[0]), _words(lines[2])
    return (
        all(word in subjective and word in assessment for word in complaint)
        and facts.get("duration", "").lower() in lines[0].lower()
    )


def check_legal(facts: Mapping[str, str], answer: str) -> bool:
    """Two sentences or more with operative words, about the kind of clause, naming both parties and the detail."""
    text = answer.lower()
    sentences = re.findall(r"[^.!?]{12,}[.!?](?:\s|$)", answer)
    stem = facts["kind"].removesuffix("ity").removesuffix("ial")
    return (
        len(sentences) >= 2
        and len(OPERATIVE.findall(answer)) >= 2
        and stem in text
        and facts["a"].lower() in text
        and facts["b"].lower() in text
        and facts.get("detail", "").lower() in text
        and not answer.endswith("?")
    )


def check_chat(facts: Mapping[str, str], answer: str) -> bool:
    """Two sentences or more, a warm word, the thing that was spoken of, and a question at the end."""
    return (
        answer.endswith("?")
        and len(re.findall(r"[.!?](?:\s|$)", answer)) >= 2
        and WARM.search(answer) is not None
        and facts["thing"].lower().removeprefix("my ") in answer.lower()
        and not any(mark in answer for mark in ("```", "S:"))
    )


CHECKS = {"chat": check_chat, "coding": check_coding, "legal": check_legal, "medical": check_medical}


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _function_name(code: str) -> str | None:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        return None
    return tree.body[0].name
