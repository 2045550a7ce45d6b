"""Keys of rank_pattern and alpha_pattern: Python's meaning, without Python's running time."""

from __future__ import annotations

import random
import re
import time

import pytest
from edgelora_convert.peft import by_pattern
from edgelora_convert.peft.by_pattern import ByPattern
from edgelora_convert.peft.expression import PatternError
from edgelora_convert.peft.fields import Fields
from edgelora_convert.peft.pattern import Effort, PathPatterns
from edgelora_convert.problems import Problems
from edgelora_convert.update import UnusableError
from hypothesis import given
from hypothesis import strategies as st

ATOMS = st.sampled_from(["a", "b", "1", ".", r"\.", "[ab]", "[^a.]", "[a-b1]", r"\d", r"\w", r"[\d.]", "^", "$"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{,2}", "{1,}", "{1,3}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)


def first_of(expressions: list[str], text: str) -> int | None:
    patterns = PathPatterns(Effort(10**9))
    for order, expression in enumerate(expressions):
        patterns.add(expression, order)
    return patterns.first(text)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=3), st.text("ab.1", max_size=8))
def test_it_matches_what_re_matches(expressions: list[str], text: str) -> None:
    matching = (order for order, key in enumerate(expressions) if re.match(rf"(.*\.)?({key})$", text))
    assert first_of(expressions, text) == next(matching, None)


@pytest.mark.parametrize(
    "expression", ["(a+)+b", "(a|a)*b", "(a*)*(a*)*b", ".*.*.*.*.*.*.*.*x", "(a|aa)+$b", "(a?){99}b"]
)
def test_its_time_grows_with_the_length_only(expression: str) -> None:
    start = time.process_time()
    assert first_of([expression], "a" * 2000) is None
    assert time.process_time() - start < 5  # re would take longer than the universe


@pytest.mark.parametrize(
    "expression",
    [
        "(", ")", "a)", "[", "a**", "*a", "a{}", "a{3,1}", "(?=a)", r"\b", r"(a)\1", "[[a]", "[a--b]", "[z-a]",
        "a" * 301, "(a{99}){99}", "(" * 250 + ")" * 50, "(?P<n>a)", "\\",
    ],
)  # fmt: skip
def test_others_are_refused(expression: str) -> None:
    with pytest.raises(PatternError):
        first_of([expression], "a")


PATHS = st.from_regex(r"(?:[ab]{1,3}\.){0,3}[ab]{1,3}", fullmatch=True)


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=6) | EXPRESSIONS, st.integers(1, 9), max_size=4), PATHS)
def test_the_first_key_that_matches_the_end_counts(values: dict[str, int], path: str) -> None:
    problems = Problems("source")
    found = ByPattern(values, 0, "rank_pattern", Fields({}, problems))
    expected = next((value for key, value in values.items() if re.match(rf"(.*\.)?({key})$", path)), 0)
    assert (found[path], problems.lines()) == (expected, [])


def test_wrong_keys_are_named() -> None:
    problems = Problems("source")
    values = {"q_proj": 2, "(": 1, "(?!x)": 3}
    found = ByPattern(values, 9, "alpha_pattern", Fields({}, problems))
    assert (found["a.q_proj"], found["a.v_proj"]) == (2, 9)
    (problem,) = problems.lines()
    assert problem == "alpha_pattern has the invalid expression '(' (it lacks a closing parenthesis)"
    with pytest.raises(PatternError, match=r"cannot be understood from '\(\?!x\)' on"):
        first_of(["(?!x)"], "x")


@given(st.dictionaries(st.from_regex(r"\^?([ab.]|\\\.){0,5}\$?", fullmatch=True), st.integers(1, 9), max_size=5), PATHS)
def test_plain_keys_mean_what_they_mean_to_re(values: dict[str, int], path: str) -> None:
    problems = Problems("source")
    expected = next((value for key, value in values.items() if re.match(rf"(.*\.)?({key})$", path)), 0)
    assert (ByPattern(values, 0, "rank_pattern", Fields({}, problems))[path], problems.lines()) == (expected, [])


def test_keys_for_every_expert_are_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_pattern, "MAX_EFFORT", 10**6)
    paths = [f"model.layers.{layer}.mlp.experts.{expert}.up_proj" for layer in range(48) for expert in range(64)]
    for escape in (str, re.escape, "^{}$".format):
        ranks = ByPattern({escape(path): 1 for path in paths}, 0, "rank_pattern", Fields({}, Problems("source")))
        assert all(ranks[path] for path in paths)


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_pattern, "MAX_EFFORT", 10**6)
    hard = {rf"(1|2){{{low},99}}.*x": 1 for low in range(90)}
    ranks = ByPattern(hard, 0, "rank_pattern", Fields({}, Problems("source")))
    chosen = random.Random(0)
    with pytest.raises(UnusableError, match="takes too long"):
        assert not any(ranks["".join(chosen.choices("12.", k=200))] for _ in range(10**6))
