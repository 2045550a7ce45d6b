"""llama.cpp's own samplers, chained as its command line chains them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import llama_cpp

from edgelora.errors import EngineError
from edgelora.native.context import Context
from edgelora.native.model import Model
from edgelora.types import LARGEST_SEED, SamplingParams

PENALTY_WINDOW = 64
"""Over how many of the last tokens a repetition is penalised."""


class Sampler:
    """Chooses tokens for one sequence. Temperature 0 is greedy, after the repetition penalty.

    Without a penalty that is the largest logit, which takes a tenth of the time of llama.cpp's list of candidates.
    """

    def __init__(self, model: Model, params: SamplingParams, prompt: Iterable[int] = ()) -> None:
        self._chain = None
        if params.temperature == 0 and params.repeat_penalty == 1.0:
            return
        self._chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for sampler in _samplers(model, params):
            llama_cpp.llama_sampler_chain_add(self._chain, sampler)
        if params.repeat_penalty != 1.0:
            for token in list(prompt)[-PENALTY_WINDOW:]:
                llama_cpp.llama_sampler_accept(self._chain, token)

    def sample(self, context: Context, index: int) -> int:
        """The next token, from the logits of the last batch's token ``index``."""
        if not self._chain:
            return context.likeliest(index)
        return int(llama_cpp.llama_sampler_sample(self._chain, context.pointer, index))

    def free(self) -> None:
        """Free the chain and its samplers. Safe to call twice."""
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def _samplers(model: Model, params: SamplingParams) -> Iterable[object]:
    if params.repeat_penalty != 1.0:
        yield _made(
            llama_cpp.llama_sampler_init_penalties(model.n_vocab, PENALTY_WINDOW, params.repeat_penalty, 0.0, 0.0)
        )
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


def _made(sampler: object) -> object:
    if not sampler:
        raise EngineError("llama.cpp could not make a sampler")
    return sampler
