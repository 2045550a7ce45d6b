"""Schemas as grammars: llama.cpp reads every one, and what it then lets through is what the schema allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engines import PROMPT, exact_config, opened, run

from edgelora.engine.core import EngineCore
from edgelora.errors import GrammarError
from edgelora.server.json_grammar import any_object, schema_grammar
from edgelora.types import BASE, Request, SamplingParams

TREE = {
    "$defs": {"node": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}}}},
    "$ref": "#/$defs/node",
}
SHORT = {"type": "string", "maxLength": 3}
SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"enum": ["a", 1, None, 'quo"te', "Zwölf\n"]}, lambda it: it in ["a", 1, None, 'quo"te', "Zwölf\n"]),
    ({"const": {"a": [1, "x"]}}, lambda it: it == {"a": [1, "x"]}),
    ({"type": ["boolean", "null"]}, lambda it: it in (True, False, None)),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}, lambda it: len(it) in (2, 3)),
    ({"type": "array", "items": SHORT, "maxItems": 1}, lambda it: len(it) < 2 and all(len(one) <= 3 for one in it)),
    ({"type": "array", "maxItems": 0}, lambda it: it == []),
    ({"type": "array", "prefixItems": [{"const": 1}, SHORT]}, lambda it: it[0] == 1 and len(it) == 2),
    (
        {"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "required": ["b"]},
        lambda it: it["b"] == 2 and set(it) <= {"a", "b", "c"},
    ),
    ({"properties": {"a": {"const": 1}, "b": {"const": 2}}}, lambda it: set(it) <= {"a", "b"}),
    ({"type": "object", "additionalProperties": {"const": 1}}, lambda it: set(it.values()) <= {1}),
    (
        {"anyOf": [{"const": "x"}, {"properties": {"y": {"const": 1}}, "required": ["y"]}]},
        lambda it: it in ("x", {"y": 1}),
    ),
    ({"allOf": [{"const": 7}]}, lambda it: it == 7),
    ({"enum": [f"{i}/2000" for i in range(2000)]}, lambda it: it in [f"{i}/2000" for i in range(2000)]),
    (
        {"enum": [1, 12, 123, True, "té", "té\n", '"', "\\"]},
        lambda it: it in [1, 12, 123, True, "té", "té\n", '"', "\\"],
    ),
    ({"type": "string", "minLength": 2, "maxLength": 4}, lambda it: 2 <= len(it) <= 4),
    (TREE, lambda it: set(it) <= {"kids"}),
]


@pytest.fixture(scope="module")
def core(f32_base: Path) -> Iterator[EngineCore]:
    with opened(exact_config(f32_base)) as core:
        yield core


@pytest.mark.parametrize(("schema", "holds"), SCHEMAS, ids=[json.dumps(schema)[:40] for schema, _ in SCHEMAS])
def test_an_answer_is_what_the_schema_allows(core: EngineCore, schema: dict[str, Any], holds: Any) -> None:
    for seed in range(6):
        sampling = SamplingParams(max_tokens=100, temperature=1.0, seed=seed, grammar=schema_grammar(schema))
        answer = run(core, Request("x", tuple(PROMPT), BASE, sampling))["x"]
        try:
            value = json.loads(answer)
        except ValueError:
            continue  # cut off before its end
        assert holds(value), answer
        return
    raise AssertionError("no answer came to its end")


@pytest.mark.parametrize("kind", ["object", "array", "string", "integer", "number", "boolean", "null"])
def test_llama_cpp_reads_the_grammar_of_every_type(core: EngineCore, kind: str) -> None:
    sampling = SamplingParams(max_tokens=2, temperature=0, grammar=schema_grammar({"type": kind}))
    assert run(core, Request("x", tuple(PROMPT), BASE, sampling))["x"]
    sampling = SamplingParams(max_tokens=2, temperature=0, grammar=any_object())
    assert run(core, Request("x", tuple(PROMPT), BASE, sampling))["x"].startswith("{")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "string", "pattern": "a+"}, "'pattern'"),
        ({"type": "integer", "minimum": 1}, "'minimum'"),
        ({"type": "strings"}, "no JSON type"),
        ({"type": {}}, "no JSON type"),
        ({"enum": []}, "'enum'"),
        ({"anyOf": "x"}, "'anyOf'"),
        ({"allOf": [{}, {}]}, "several"),
        ({"$ref": "https://example.org/x"}, "elsewhere"),
        ({"$ref": "#/none"}, "not there"),
        ({"properties": {"a": {}}, "required": ["b"]}, "'b'"),
        ({"properties": {"a": {}}, "required": [{}]}, "list of names"),
        ({"properties": {"a": 3}}, "no object"),
        ({"type": "array", "minItems": 3, "maxItems": 2}, "below"),
        ({"type": "array", "minItems": 10**6}, "from 0 to 200"),
        (3, "no object"),
    ],
)
def test_what_cannot_be_guaranteed_is_named(schema: Any, says: str) -> None:
    with pytest.raises(GrammarError, match=says):
        schema_grammar(schema)


def test_a_schema_has_an_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    with pytest.raises(GrammarError, match="too deep"):
        schema_grammar(deep)
    names = [f"p{i}" for i in range(2000)]
    wide = {"properties": {name: {"enum": ["a", "b"]} for name in names}, "required": names}
    with pytest.raises(GrammarError, match="too large"):
        schema_grammar(wide)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": ["string"] * 20_000, "minLength": 1},
        {"enum": ["x"] * 20_000},
        {"type": [["string"]]},
    ],
)
def test_lists_in_a_schema_have_an_end_too(schema: Any) -> None:
    with pytest.raises(GrammarError):
        schema_grammar(schema)
