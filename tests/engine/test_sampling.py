"""Grammars, biases, penalties and probabilities: what llama.cpp's samplers offer beside chance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.engines import PROMPT, drain, exact_config, opened, run, the_end

from edgelora.engine.core import EngineCore
from edgelora.errors import GrammarError
from edgelora.types import BASE, Failed, Finished, Request, SamplingParams, Token

GREEDY = SamplingParams(max_tokens=24, temperature=0)
YES_OR_NO = 'root ::= "yes" | "no"\n'
LIST = 'root ::= "[" [1-9]{1,3} ("," [1-9]{1,3}){2} "]"\n'


@pytest.fixture(scope="module")
def core(f32_base: Path) -> Iterator[EngineCore]:
    with opened(exact_config(f32_base)) as core:
        yield core


def answer(core: EngineCore, sampling: SamplingParams) -> str:
    return run(core, Request("x", tuple(PROMPT), BASE, sampling))["x"]


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_has_the_form_of_its_grammar(core: EngineCore, temperature: float) -> None:
    free = replace(GREEDY, temperature=temperature, seed=3, max_tokens=200)
    assert answer(core, free) not in ("yes", "no")
    assert answer(core, replace(free, grammar=YES_OR_NO)) in ("yes", "no")
    assert len(json.loads(answer(core, replace(free, grammar=LIST)))) == 3


def test_a_grammar_beside_free_answers_changes_only_its_own(core: EngineCore) -> None:
    free = answer(core, GREEDY)
    texts = run(
        core,
        Request("free", tuple(PROMPT), BASE, GREEDY),
        Request("bound", tuple(PROMPT), BASE, replace(GREEDY, grammar=YES_OR_NO)),
    )
    assert texts["free"] == free
    assert texts["bound"] in ("yes", "no")


@pytest.mark.parametrize("grammar", ["no grammar", "root ::= (", "other ::= [a]", "root ::= root [a]", "root ::= \0"])
def test_a_grammar_that_is_none_fails_its_request_only(core: EngineCore, grammar: str) -> None:
    end = the_end(core, Request("x", tuple(PROMPT), BASE, replace(GREEDY, grammar=grammar)))
    assert isinstance(end, Failed)
    assert isinstance(end.error, GrammarError)
    assert answer(core, GREEDY)


def test_a_bias_forbids_and_forces_a_token(core: EngineCore) -> None:
    (first, *_) = tokens_of(core, GREEDY)
    assert first not in tokens_of(core, replace(GREEDY, logit_bias=((first, -100.0),)))
    assert set(tokens_of(core, replace(GREEDY, logit_bias=((700, 100.0),)))) == {700}
    end = the_end(core, Request("x", tuple(PROMPT), BASE, replace(GREEDY, logit_bias=((10**6, 1.0),))))
    assert isinstance(end, Failed)


def test_penalties_make_repetitions_rarer(core: EngineCore) -> None:
    plain = tokens_of(core, replace(GREEDY, max_tokens=60))
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}):
        penalised = tokens_of(core, replace(GREEDY, max_tokens=60, **penalty))  # type: ignore[arg-type]
        assert len(set(penalised)) > len(set(plain))


def test_probabilities_come_with_the_text_they_made(core: EngineCore) -> None:
    core.submit(Request("x", tuple(PROMPT), BASE, replace(GREEDY, logprobs=3)))
    events = drain(core)
    said = [event for event in events if isinstance(event, Token)]
    (end,) = [event for event in events if isinstance(event, Finished)]
    told = [one for event in said for one in event.logprobs]
    assert b"".join(one.piece for one in told).decode() == "".join(event.text for event in said)
    assert len(told) == end.completion_tokens - (end.reason == "stop")
    for one in told:
        assert one.logprob == one.top[0].logprob == max(top.logprob for top in one.top) <= 0
        assert np.exp([top.logprob for top in one.top]).sum() <= 1 + 1e-5
        assert one.token == one.top[0].token
        assert len(one.top) == 3
    assert not [one for event in events_without(core) for one in event.logprobs]


def events_without(core: EngineCore) -> list[Token]:
    core.submit(Request("y", tuple(PROMPT), BASE, GREEDY))
    return [event for event in drain(core) if isinstance(event, Token)]


def tokens_of(core: EngineCore, sampling: SamplingParams) -> list[int]:
    core.submit(Request("t", tuple(PROMPT), BASE, replace(sampling, logprobs=0)))
    return [one.token for event in drain(core) if isinstance(event, Token) for one in event.logprobs]


def test_tokens_are_read_back(core: EngineCore) -> None:
    text = "Zwölf Bäume, 木."
    assert core.detokenize(core.tokenize(text)).decode() == text
