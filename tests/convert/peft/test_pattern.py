"""Keys of rank_pattern and alpha_pattern: Python's meaning, without Python's running time."""

from __future__ import annotations

import re
import time

import pytest
from edgelora_convert.peft.expression import PatternError
from edgelora_convert.peft.fields import Fields
from edgelora_convert.peft.pattern import Pattern
from edgelora_convert.peft.scaling import ByPattern
from edgelora_convert.problems import Problems
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


@given(EXPRESSIONS, st.text("ab.1", max_size=8))
def test_it_matches_what_re_matches(expression: str, text: str) -> None:
    assert Pattern(expression).matches(text) == bool(re.match(rf"(?:{expression})$", text))


@pytest.mark.parametrize(
    "expression", ["(a+)+b", "(a|a)*b", "(a*)*(a*)*b", ".*.*.*.*.*.*.*.*x", "(a|aa)+$b", "(a?){99}b"]
)
def test_its_time_grows_with_the_length_only(expression: str) -> None:
    start = time.process_time()
    assert not Pattern(expression).matches("a" * 2000)
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
        Pattern(expression)


PATHS = st.from_regex(r"(?:[ab]{1,3}\.){0,3}[ab]{1,3}", fullmatch=True)


@given(st.dictionaries(st.text("ab.", min_size=1, max_size=6) | EXPRESSIONS, st.integers(1, 9), max_size=4), PATHS)
def test_the_first_key_that_matches_the_end_counts(values: dict[str, int], path: str) -> None:
    problems = Problems("source")
    found = ByPattern.of(values, 0, "rank_pattern", Fields({}, problems))
    expected = next((value for key, value in values.items() if re.match(rf"(.*\.)?({key})$", path)), 0)
    assert (found[path], problems.lines()) == (expected, [])


def test_wrong_keys_are_named() -> None:
    problems = Problems("source")
    values = {"(": 1, "q_proj": 2, "(?!x)": 3}
    found = ByPattern.of(values, 9, "alpha_pattern", Fields({}, problems))
    assert (found["a.q_proj"], found["a.v_proj"]) == (2, 9)
    first, second = problems.lines()
    assert "alpha_pattern has the invalid expression '(' (it lacks a closing" in first
    assert "alpha_pattern has the invalid expression '(?!x)' (it cannot be understood from '(?!x)' on" in second
    many = {f"m{number}": 1 for number in range(5001)}
    ByPattern.of(many, 1, "rank_pattern", Fields({}, problems))
    assert "rank_pattern has 5001 entries; at most 5000" in problems.lines()[-1]
