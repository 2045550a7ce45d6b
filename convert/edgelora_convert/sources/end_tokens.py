"""The texts that end an answer, from the tokenizer's files and generation_config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_END_TOKENS = 16
MAX_TOKEN_LENGTH = 256


def end_tokens(files: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Without repetition, the tokenizer's own first. ``files`` are JSON objects by the names of their files."""
    return tuple(dict.fromkeys(_end_tokens(files)))[:MAX_END_TOKENS]


def _end_tokens(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The tokenizer's end token, then those that generation_config.json names by their numbers."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        yield from _token(files[name].get("eos_token"))
    ids = files["generation_config.json"].get("eos_token_id")
    numbered = dict(_numbered(files))
    for token_id in ids if isinstance(ids, list) else (ids,):
        if type(token_id) is int and token_id in numbered:
            yield numbered[token_id]


def _numbered(files: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    """Numbers of special tokens: {"7": {"content": "<x>"}} in tokenizer_config.json, {"<x>": 7} in the other file."""
    decoder = files["tokenizer_config.json"].get("added_tokens_decoder")
    for number, entry in decoder.items() if isinstance(decoder, dict) else ():
        if number.isdecimal() and len(number) < 10:
            yield from ((int(number), token) for token in _token(entry))
    for token, token_id in files["added_tokens.json"].items():
        if type(token_id) is int:
            yield from ((token_id, usable) for usable in _token(token))


def _token(saved: object) -> Iterator[str]:
    """A token as text, or as an object with its text as content."""
    text = saved.get("content") if isinstance(saved, dict) else saved
    if isinstance(text, str) and 0 < len(text) <= MAX_TOKEN_LENGTH:
        yield text
