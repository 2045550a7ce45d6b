"""llama.cpp's grammar sampler: which tokens may come next under a GBNF grammar.

llama.cpp ends the process when a token is accepted that the grammar does not allow, and when an answer ends before the
grammar does. So tokens are looked at first, one alone where that is enough, and only allowed ones are ever accepted.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np

from edgelora.errors import GrammarError
from edgelora.native.model import Model

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama_token_data, llama.h."""


class Candidates:
    """What a sampler chooses from: ``tokens`` with their ``logits``, f32, in an array that llama.cpp writes to."""

    def __init__(self, tokens: np.ndarray, logits: np.ndarray) -> None:
        self._data = np.zeros(len(tokens), _CANDIDATE)
        self._data["id"], self._data["logit"] = tokens, logits
        self._array = llama_cpp.llama_token_data_array(
            data=self._data.ctypes.data_as(llama_cpp.llama_token_data_p), size=len(tokens), selected=-1, sorted=False
        )

    def pass_through(self, sampler: Any) -> None:
        """Let ``sampler``, a native pointer, look at them."""
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(self._array))

    @property
    def selected(self) -> int:
        """The token that the last sampler of a chain has chosen."""
        return int(self._data["id"][self._array.selected])

    @property
    def allowed(self) -> Candidates:
        """Those that no sampler has ruled out."""
        left = self._data[np.isfinite(self._data["logit"])]
        return Candidates(left["id"], left["logit"])

    def __len__(self) -> int:
        return len(self._data)


class Grammar:
    """The state of one answer under ``text``, GBNF with the start rule ``root``.

    Raises GrammarError where llama.cpp cannot read it.
    """

    def __init__(self, model: Model, text: str) -> None:
        data = text.encode()
        self._sampler = None if b"\0" in data else llama_cpp.llama_sampler_init_grammar(model.vocab, data, b"root")
        if not self._sampler:
            raise GrammarError("llama.cpp cannot read the grammar of this request", "Ask for a simpler form.")

    def choose(self, logits: np.ndarray, chain: Any) -> int:
        """The token that ``chain`` takes of the allowed ones; f32 [n_vocab]. Raises GrammarError if there is none.

        Asking about all tokens takes long, so the chain chooses first, and again only if that one is not allowed.
        """
        tokens = np.arange(len(logits), dtype=np.int32)
        freely = Candidates(tokens, logits)
        freely.pass_through(chain)
        if self._allows(freely.selected):
            return self._accept(freely.selected)
        limited = Candidates(tokens, logits)
        limited.pass_through(self._sampler)
        left = limited.allowed
        if not len(left):
            raise GrammarError(
                "no token of this base can go on in the form that was asked for", "Ask for another form."
            )
        left.pass_through(chain)
        return self._accept(left.selected)

    def free(self) -> None:
        """Free the sampler. Safe to call twice."""
        if self._sampler:
            llama_cpp.llama_sampler_free(self._sampler)
            self._sampler = None

    def _allows(self, token: int) -> bool:
        one = Candidates(np.array([token], np.int32), np.zeros(1, np.float32))
        one.pass_through(self._sampler)
        return bool(len(one.allowed))

    def _accept(self, token: int) -> int:
        llama_cpp.llama_sampler_accept(self._sampler, token)
        return token
