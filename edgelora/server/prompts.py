"""Prompts that are no messages: text, or token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelora.server.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgelora.server.host import Host


async def prompt_tokens_of(host: Host, prompt: str | Sequence[int], *, param: str = "prompt") -> tuple[int, ...]:
    """The tokens of ``prompt``, with the BOS token where text has none and the base wants one. Raises ApiError."""
    if isinstance(prompt, str):
        tokens = await host.engine.tokenize(prompt, add_special=True)
    else:
        tokens = tuple(prompt)
        require_vocabulary(host, tokens, param=param)
    if not tokens:
        raise ApiError(400, "the text is empty", "invalid_value", param=param)
    return tokens


def require_vocabulary(host: Host, tokens: Sequence[int], *, param: str = "tokens") -> None:
    """Raise ApiError where one of ``tokens`` is none of the base's."""
    n_vocab = host.engine.base.n_vocab
    if not all(0 <= token < n_vocab for token in tokens):
        raise ApiError(400, f"token ids are from 0 to {n_vocab - 1}", "invalid_value", param=param)
