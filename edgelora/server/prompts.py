"""Prompts that are no messages: text, or token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.server.host import Host


CHARACTERS_A_TOKEN = 128
"""About as many as the longest tokens of any vocabulary have."""


async def prompt_tokens_of(host: Host, prompt: str | Sequence[int], *, param: str = "prompt") -> tuple[int, ...]:
    """The tokens of ``prompt``, with the BOS token where text has none and the base wants one. Raises ApiError."""
    if isinstance(prompt, str):
        require_fitting(host, len(prompt), param=param)
        tokens = await host.engine.tokenize(prompt, add_special=True)
    else:
        tokens = tuple(prompt)
        require_vocabulary(host, tokens, param=param)
    if not tokens:
        raise ApiError(400, "the text is empty", "invalid_value", param=param)
    return tokens


def require_fitting(host: Host, characters: int, *, param: str) -> None:
    """Raise ApiError for a text so long that its tokens could not fit: the engine stands still while it reads one."""
    ctx = host.engine.base.ctx
    if characters > CHARACTERS_A_TOKEN * ctx:
        says = f"the text has {characters:,} characters, which no context of {ctx:,} tokens holds"
        raise ApiError(400, says, "context_length_exceeded", param=param)


def require_vocabulary(host: Host, tokens: Sequence[int], *, param: str = "tokens") -> None:
    """Raise ApiError where one of ``tokens`` is none of the base's."""
    n_vocab = host.engine.base.n_vocab
    if not all(0 <= token < n_vocab for token in tokens):
        raise ApiError(400, f"token ids are from 0 to {n_vocab - 1}", "invalid_value", param=param)
