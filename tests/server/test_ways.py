"""What keeps llama.cpp from following thousands of ways through its vocabulary."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelora.errors import GrammarError
from edgelora.server.json_grammar import schema_grammar
from edgelora.server.ways import MOST_WAYS, texts_grammar

_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
TEXTS = st.lists(st.text(alphabet='ab1"\\é', max_size=50).map(json.dumps) | st.integers(0, 2000).map(str), min_size=1)


@given(TEXTS, TEXTS)
def test_a_choice_of_texts_is_these_and_no_others(texts: list[str], others: list[str]) -> None:
    body, ways = texts_grammar(texts)
    pattern = re.compile(_as_pattern(body))
    assert all(pattern.fullmatch(text) for text in texts)
    assert all((text in texts) == bool(pattern.fullmatch(text)) for text in others)
    assert all(text.startswith(ways.begins) for text in texts)
    assert ways.most <= MOST_WAYS


def _as_pattern(body: str) -> str:
    """Literals, brackets and bars of GBNF as a regular expression."""
    between = (part.replace(" ", "") for part in _LITERAL.split(body)[::2])
    literals = [re.escape(re.sub(r"\\(.)", r"\1", one)) for one in _LITERAL.findall(body)]
    return "".join(part + literal for part, literal in zip(between, [*literals, ""], strict=True))


def chained(parts: int, levels: int, **between: Any) -> dict[str, Any]:
    """Choices of equal parts, each part a choice again."""
    names = [f"#/$defs/d{i}" for i in range(levels + 1)]
    links = [{"anyOf": [_holding(name, between)] * parts} for name in names[1:]]
    return {"$ref": names[0], "$defs": {f"d{i}": one for i, one in enumerate([*links, {"type": "string"}])}}


def _holding(name: str, between: dict[str, Any]) -> dict[str, Any]:
    return {**between, "items": {"$ref": name}} if between else {"$ref": name}


ITSELF = {"$ref": "#"}
LIST_OF_ITSELF = {"type": "array", "items": ITSELF}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"anyOf": [{"type": "string"}] * 2000}, "2000 ways"),
        ({"anyOf": [{"type": "string", "minLength": 1}] * 101}, "101 ways"),
        ({"properties": {f"p{i}": {} for i in range(1400)}}, "1401 ways"),
        ({"type": ["string"] * 101}, "101 ways"),
        ({"enum": ["a" * n for n in range(1000)]}, "ways open"),
        (chained(2, 9), "ways open"),
        (chained(2, 8, type="array", minItems=1), "begin alike"),
        ({"anyOf": [LIST_OF_ITSELF, LIST_OF_ITSELF]}, "both lead back"),
        ({"anyOf": [{"properties": {"a": ITSELF}}, {"properties": {"b": ITSELF}}]}, "both lead back"),
        ({"properties": {"a": ITSELF}, "additionalProperties": ITSELF}, "both lead back"),
    ],
)
def test_too_many_ways_are_refused(schema: Any, says: str) -> None:
    with pytest.raises(GrammarError, match=says):
        schema_grammar(schema)


def tagged(kind: str, **more: Any) -> dict[str, Any]:
    properties = {"kind": {"const": kind}, **more}
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [tagged(f"k{i}", value={"type": "string"}) for i in range(MOST_WAYS)]},
        {"anyOf": [tagged("+", left=ITSELF, right=ITSELF), tagged("-", left=ITSELF, right=ITSELF), {"type": "number"}]},
        {"properties": {"next": {"anyOf": [ITSELF, {"type": "null"}]}, "value": {}}},
        {"properties": {f"p{i}": {"enum": list(range(300))} for i in range(MOST_WAYS - 1)}},
        {"properties": {f"p{i}": {} for i in range(1000)}, "required": [f"p{i}" for i in range(1000)]},
        {"anyOf": [{"type": "array", "items": ITSELF}, {"type": "object", "additionalProperties": ITSELF}]},
        chained(2, 5, type="array"),
    ],
)
def test_what_schemas_are_written_for_is_allowed(schema: Any) -> None:
    assert schema_grammar(schema)
