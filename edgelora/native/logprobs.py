"""How likely a token was: logarithms of the model's own probabilities, before any sampler has changed them."""

from __future__ import annotations

import numpy as np

from edgelora.native.model import Model
from edgelora.types import TokenLogprob, TopToken


def token_logprob(model: Model, logits: np.ndarray, token: int, n_top: int) -> TokenLogprob:
    """``token`` and the ``n_top`` likeliest, from ``logits``, f32 [n_vocab]."""
    shifted = logits - logits.max()
    logprobs = shifted - np.log(np.exp(shifted).sum())
    top = np.argpartition(logprobs, -n_top)[-n_top:] if n_top else np.array([], int)
    ordered = top[np.argsort(-logprobs[top], kind="stable")]
    best = tuple(TopToken(int(i), model.piece(int(i)), float(logprobs[i])) for i in ordered)
    return TokenLogprob(token, model.piece(token), float(logprobs[token]), best)
