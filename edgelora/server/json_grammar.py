"""A JSON schema as a grammar (GBNF), so that an answer cannot be anything else.

What a grammar cannot say (`pattern`, `minimum`, `not`, ...) is refused by name: an answer that only looks right is
worse than an error. Sources: json-schema.org, draft 2020-12; grammars/README.md of llama.cpp for GBNF.

llama_cpp.llama_grammar's converter (0.3.36) cannot stand here even behind a check of the keywords, because its strings
may hold raw line ends and control characters, so that no schema with a string in it is sure to give JSON. It also drops
what stands beside a list of types, takes references that end alike for the same, reads `{}` as an object, and recurses
once for each property.
"""

from __future__ import annotations

import json
import re
from typing import Any

from edgelora.errors import GrammarError
from edgelora.server.ways import Ways, any_of, literal, one_after_the_other, texts_grammar

MOST_RULES = 6000
MOST_ENTRIES = 2000
DEEPEST = 32
MOST_REPEATS = 200
"""Schemas beyond these would make a grammar that takes seconds a token."""

_SPACE = r'| " " | "\n" [ \t]{0,20}'
_TERMINALS = {
    "space": _SPACE,
    "char": r'[^"\\\x00-\x1F\x7F] | "\\" (["\\bfnrt/] | "u" [0-9a-fA-F]{4})',
    "string": r'"\"" char* "\""',
    "integer": r'"-"? ("0" | [1-9] [0-9]{0,15})',
    "number": r'"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": r'"true" | "false"',
    "null": r'"null"',
    "value": "object | array | string | number | boolean | null",
    "object": r'"{" space (string space ":" space value space ("," space string space ":" space value space)*)? "}"',
    "array": r'"[" space (value space ("," space value space)*)? "]"',
}
_WAYS = {"object": Ways("{"), "array": Ways("["), "string": Ways('"'), "value": Ways("", 6, 6)}
_SAY_NOTHING = {
    "$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example",
    "deprecated", "readOnly", "writeOnly", "format",
}  # fmt: skip
_KNOWN = {
    "type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties", "required", "additionalProperties",
    "items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength",
}  # fmt: skip
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-]+")


def any_object() -> str:
    """The grammar of any JSON object."""
    return _Grammar({}).text("object")


def schema_grammar(schema: object) -> str:
    """The grammar of what ``schema`` allows. Raises GrammarError where it says something that a grammar cannot.

    Properties come in the order of the schema; ones that it does not name only under `additionalProperties`.
    """
    grammar = _Grammar(schema)
    return grammar.text(grammar.rule("answer", schema, 0))


class _Grammar:
    def __init__(self, schema: object) -> None:
        self._schema = schema
        self._rules: dict[str, str] = {}
        self._references: dict[str, str] = {}
        self._being_made: set[str] = set()  # references
        self._ways: dict[str, Ways] = dict(_WAYS)
        self._taken: dict[str, int] = {}  # the number that the next rule of a name gets

    def text(self, start: str) -> str:
        used = {"root": start} | self._rules | _TERMINALS
        return "".join(f"{name} ::= {body}\n" for name, body in used.items())

    def rule(self, name: str, schema: object, depth: int) -> str:
        """The name of a rule for ``schema``."""
        if depth > DEEPEST:
            raise GrammarError("the schema is too deep", f"At most {DEEPEST} levels.")
        if schema is True or schema == {}:
            return "value"
        if not isinstance(schema, dict):
            raise GrammarError(f"the schema of {name!r} is no object")
        unknown = schema.keys() - _KNOWN - _SAY_NOTHING
        if unknown:
            raise GrammarError(
                f"the schema keyword {min(unknown)!r} cannot be guaranteed by a grammar", "Leave it out."
            )
        return self._of(name, schema, depth + 1)

    def _of(self, name: str, schema: dict[str, Any], depth: int) -> str:
        if "$ref" in schema:
            return self._reference(schema["$ref"], depth)
        if "const" in schema:
            return self._add(name, *texts_grammar([json.dumps(schema["const"])]))
        if "enum" in schema:
            return self._add(name, *texts_grammar(map(json.dumps, _some(schema, "enum"))))
        for several in ("anyOf", "oneOf"):
            if several in schema:
                parts = [self.rule(f"{name}-{i}", one, depth) for i, one in enumerate(_some(schema, several))]
                return self._choice(name, parts)
        if "allOf" in schema:
            if len(parts := _some(schema, "allOf")) > 1:
                raise GrammarError("'allOf' with several schemas cannot be guaranteed by a grammar", "Join them.")
            return self.rule(name, parts[0], depth)
        kinds = schema.get("type", _kind_by_keywords(schema))
        if isinstance(kinds, list):
            parts = [self._typed(kind, f"{name}-{kind}", schema, depth) for kind in _some(schema, "type")]
            return self._choice(name, parts)
        return self._typed(kinds, name, schema, depth)

    def _choice(self, name: str, parts: list[str]) -> str:
        return self._add(name, " | ".join(parts), any_of([self._ways_of(part) for part in parts], self._being_made))

    def _ways_of(self, rule: str) -> Ways:
        return self._ways.get(rule, Ways())

    def _typed(self, kind: object, name: str, schema: dict[str, Any], depth: int) -> str:
        if kind == "object" and (schema.get("properties") or schema.get("additionalProperties") is not None):
            return self._object(name, schema, depth)
        if kind == "array":
            return self._array(name, schema, depth)
        if kind == "string" and schema.keys() & {"minLength", "maxLength"}:
            return self._add(name, rf'"\"" char{_repeats(schema, "minLength", "maxLength")} "\""', Ways('"'))
        if kind in ("object", "string", "integer", "number", "boolean", "null", "value"):
            return str(kind)
        raise GrammarError(f"the schema names no JSON type: {kind!r}")

    def _object(self, name: str, schema: dict[str, Any], depth: int) -> str:
        properties, required = schema.get("properties") or {}, schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list) or not all(map(_is_text, required)):
            raise GrammarError("in a schema 'properties' is an object and 'required' a list of names")
        if missing := [one for one in required if one not in properties]:
            raise GrammarError(f"the schema requires {missing[0]!r}, which is none of its properties")
        pairs = []
        for key, one in properties.items():
            value = self.rule(f"{name}-{key}", one, depth)
            begins = f"{json.dumps(key)}:{self._ways_of(value).begins}"
            ways = one_after_the_other(begins, [self._ways_of(value)])
            body = f'{literal(json.dumps(key))} space ":" space {value} space'
            pairs.append((self._add(f"{name}-{key}-pair", body, ways), key))
        if more := schema.get("additionalProperties"):
            value = self.rule(f"{name}-more", more, depth)
            pair = self._add(f"{name}-more-pair", f'string space ":" space {value} space')
            ways = one_after_the_other('"', [self._ways_of(value)])
            pairs.append((self._add(f"{name}-more-pairs", f'{pair} ("," space {pair})*', ways), ""))
        ways = self._object_ways(pairs, set(required))
        return self._add(name, f'"{{" space {self._members(name, pairs, set(required))} "}}"', ways)

    def _object_ways(self, pairs: list[tuple[str, str]], required: set[str]) -> Ways:
        """Each run of pairs that may be left out, with the one after it, is a choice."""
        run, runs = list[Ways](), list[Ways]()
        for pair, key in pairs:
            run.append(self._ways_of(pair))
            if key in required:
                runs.append(any_of(run, self._being_made))
                run = []
        if run:
            runs.append(any_of([*run, Ways("}")], self._being_made))
        begins = runs[0].begins if pairs[0][1] in required else ""
        return one_after_the_other("{" + begins, runs)

    def _members(self, name: str, pairs: list[tuple[str, str]], required: set[str]) -> str:
        """Any choice of ``pairs`` in their order that leaves no required one out: two rules for each, from the last."""
        first = following = '""'  # what may come where no pair was written yet, and after one
        for i, (pair, key) in reversed(list(enumerate(pairs))):
            skipped = key not in required
            here = f"{pair} {following}" + (f" | {first}" if skipped else "")
            after = f'"," space {pair} {following}' + (f" | {following}" if skipped else "")
            first, following = self._add(f"{name}-first-{i}", here), self._add(f"{name}-next-{i}", after)
        return first

    def _array(self, name: str, schema: dict[str, Any], depth: int) -> str:
        if "prefixItems" in schema:
            parts = [self.rule(f"{name}-{i}", one, depth) for i, one in enumerate(_some(schema, "prefixItems"))]
            ways = one_after_the_other("[", [self._ways_of(part) for part in parts])
            return self._add(name, '"[" space ' + ' space "," space '.join(parts) + ' space "]"', ways)
        item = self.rule(f"{name}-item", schema.get("items", True), depth)
        least, most = _bounds(schema, "minItems", "maxItems")
        if most == 0:
            return self._add(name, '"[" space "]"', Ways("["))
        more = f'("," space {item} space){{{max(0, least - 1)},{"" if most is None else most - 1}}}'
        some = f"{item} space {more}"
        ways = one_after_the_other("[", [self._ways_of(item)])
        return self._add(name, f'"[" space {some} "]"' if least else f'"[" space ({some})? "]"', ways)

    def _reference(self, reference: object, depth: int) -> str:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise GrammarError(f"the schema refers to {reference!r}, which lies elsewhere", "Put it into '$defs'.")
        if reference not in self._references:
            found: Any = self._schema
            for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
                if not isinstance(found, dict) or part not in found:
                    raise GrammarError(f"the schema refers to {reference!r}, which is not there")
                found = found[part]
            ways = Ways(within=frozenset({reference}))
            name = self._references[reference] = self._add(f"ref-{len(self._references)}", "", ways)
            self._being_made.add(reference)
            self._rules[name] = made = self.rule(name, found, depth)
            self._being_made.remove(reference)
            self._ways[name] = self._ways_of(made)
        return self._references[reference]

    def _add(self, name: str, body: str, ways: Ways | None = None) -> str:
        plain = unique = _NOT_IN_NAMES.sub("-", name)[:60].strip("-") or "rule"
        n = self._taken.get(plain, 2)
        while unique in self._rules or unique in _TERMINALS or unique == "root":
            unique, n = f"{plain}-{n}", n + 1
        if len(self._rules) >= MOST_RULES:
            raise GrammarError("the schema is too large", f"At most {MOST_RULES} rules of the grammar made from it.")
        self._taken[plain] = n  # so that many of one name do not take the square of their number
        self._rules[unique] = body
        if ways:
            self._ways[unique] = ways
        return unique


def _some(schema: dict[str, Any], key: str) -> list[Any]:
    found = schema[key]
    if not isinstance(found, list) or not found:
        raise GrammarError(f"{key!r} in a schema is a list that is not empty")
    if len(found) > MOST_ENTRIES:  # before anything is done for each: the server stands still meanwhile
        raise GrammarError(f"{key!r} in the schema is too long", f"At most {MOST_ENTRIES} entries.")
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _kind_by_keywords(schema: dict[str, Any]) -> str:
    if schema.keys() & {"properties", "additionalProperties"}:
        return "object"
    if schema.keys() & {"items", "prefixItems"}:
        return "array"
    return "string" if schema.keys() & {"minLength", "maxLength"} else "value"


def _bounds(schema: dict[str, Any], least: str, most: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    for name, bound in ((least, low), (most, high)):
        if bound is not None and not (isinstance(bound, int) and 0 <= bound <= MOST_REPEATS):
            raise GrammarError(f"{name!r} in a schema is a number from 0 to {MOST_REPEATS} here")
    if high is not None and high < low:
        raise GrammarError(f"{most!r} is below {least!r} in the schema")
    return low, high


def _repeats(schema: dict[str, Any], least: str, most: str) -> str:
    low, high = _bounds(schema, least, most)
    return f"{{{low},{'' if high is None else high}}}"
