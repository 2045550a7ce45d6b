"""llama.cpp's own samplers, chained as its command line chains them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

import llama_cpp

from edgelora.errors import EngineError
from edgelora.native.context import Context
from edgelora.native.grammar import Grammar
from edgelora.native.model import Model
from edgelora.types import LARGEST_SEED, SamplingParams

PENALTY_WINDOW = 64
"""Over how many of the last tokens a repetition is penalised."""


class Sampler:
    """Chooses tokens for one sequence. Temperature 0 is greedy, after penalties and biases.

    Without any of these that is the largest logit, which takes a tenth of the time of llama.cpp's list of candidates.
    """

    def __init__(self, model: Model, params: SamplingParams, prompt: Iterable[int] = ()) -> None:
        self._chain = self._grammar = None
        if params.temperature == 0 and not (_penalises(params) or params.logit_bias or params.grammar):
            return
        if params.grammar:
            self._grammar = Grammar(model, params.grammar)
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for sampler in _samplers(model, params):
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        if _penalises(params):
            for token in list(prompt)[-PENALTY_WINDOW:]:
                llama_cpp.llama_sampler_accept(self._chain, token)

    def sample(self, context: Context, index: int) -> int:
        """The next token, from the logits of the last batch's token ``index``.

        Raises GrammarError where a grammar allows none.
        """
        if self._grammar:
            token = self._grammar.choose(context.logits(index), self._chain)
            llama_cpp.llama_sampler_accept(self._chain, token)
            return token
        if not self._chain:
            return context.likeliest(index)
        return int(llama_cpp.llama_sampler_sample(self._chain, context.pointer, index))

    def free(self) -> None:
        """Free the chain and its samplers. Safe to call twice."""
        if self._grammar:
            self._grammar.free()
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def _penalises(params: SamplingParams) -> bool:
    return params.repeat_penalty != 1.0 or bool(params.frequency_penalty or params.presence_penalty)


def _samplers(model: Model, params: SamplingParams) -> Iterable[object]:
    if params.logit_bias:
        yield _made(_biases(model, params.logit_bias))
    if _penalises(params):
        penalties = params.repeat_penalty, params.frequency_penalty, params.presence_penalty
        yield _made(llama_cpp.llama_sampler_init_penalties(model.n_vocab, PENALTY_WINDOW, *penalties))
    if params.temperature == 0:
        yield _made(llama_cpp.llama_sampler_init_greedy())
        return
    if params.top_k > 0:
        yield _made(llama_cpp.llama_sampler_init_top_k(params.top_k))
    if params.top_p < 1:
        yield _made(llama_cpp.llama_sampler_init_top_p(params.top_p, 1))
    if params.min_p > 0:
        yield _made(llama_cpp.llama_sampler_init_min_p(params.min_p, 1))
    yield _made(llama_cpp.llama_sampler_init_temp(params.temperature))
    seed = secrets.randbelow(LARGEST_SEED) if params.seed is None else params.seed
    yield _made(llama_cpp.llama_sampler_init_dist(seed))


def _biases(model: Model, biases: Sequence[tuple[int, float]]) -> object:
    listed = (llama_cpp.llama_logit_bias * len(biases))(*biases)
    return llama_cpp.llama_sampler_init_logit_bias(model.n_vocab, len(biases), listed)


def _made(sampler: object) -> object:
    if not sampler:
        raise EngineError("llama.cpp could not make a sampler")
    return sampler
