"""Requests of every kind: sensible ones of which something is wrong, and what no client would send."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from pydantic import BaseModel

from edgelora.server.llama.requests import LlamaRequest
from edgelora.server.llama.tokens import DetokenizeRequest, TokenizeRequest
from edgelora.server.openai.embeddings import EmbeddingRequest
from edgelora.server.openai.requests import ChatRequest, CompletionRequest, LoraScale
from edgelora.server.vllm import LoadRequest, UnloadRequest

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
MODELS = st.sampled_from(
    ["base", "first", "first:0.5+second", "first#base", "nobody", "auto", "+", "a:b", "../x.gguf", ""]
)
SCHEMAS = st.recursive(
    st.sampled_from(
        [{}, True, {"type": "string"}, {"type": "integer"}, {"enum": ["a", 1]}, {"$ref": "#"}, {"const": "\n"}]
    ),
    lambda inner: (
        st.fixed_dictionaries({"type": st.just("array"), "items": inner, "minItems": st.integers(0, 3)})
        | st.fixed_dictionaries({"properties": st.dictionaries(st.text(max_size=5), inner, max_size=3)})
        | st.fixed_dictionaries({"anyOf": st.lists(inner, max_size=3)})
    ),
    max_leaves=5,
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"]), "content": st.text(max_size=30) | ANY}
)
WHOLE, SHARE = st.integers(0, 50), st.floats(0, 1)
PENALTY = st.floats(-2, 2)
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "model": MODELS,
    "prompt": st.text(min_size=1, max_size=30) | st.lists(st.integers(0, 5000), min_size=1, max_size=5),
    "messages": st.lists(MESSAGE, min_size=1, max_size=4),
    "input": st.text(max_size=30) | st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3),
    "content": st.text(max_size=50),
    "tokens": st.lists(st.integers(0, 5000), max_size=5),
    "max_tokens": st.integers(0, 6),
    "max_completion_tokens": st.integers(1, 6),
    "n_predict": st.integers(-1, 6),
    "n": st.integers(1, 3),
    "n_probs": st.integers(0, 5),
    "top_logprobs": st.integers(0, 5),
    "logprobs": st.integers(0, 5) | st.booleans(),
    "temperature": st.floats(0, 3),
    "top_p": SHARE,
    "min_p": SHARE,
    "top_k": WHOLE,
    "seed": st.integers(-(2**63), 2**63 - 1),
    "repeat_penalty": st.floats(0.1, 2),
    "presence_penalty": PENALTY,
    "frequency_penalty": PENALTY,
    "stop": st.text(min_size=1, max_size=3) | st.lists(st.text(min_size=1, max_size=3), max_size=3),
    **dict.fromkeys(("stream", "echo", "add_special", "with_pieces", "parse_special", "cache_prompt"), st.booleans()),
    "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}),
    "logit_bias": st.dictionaries(st.integers(0, 5000).map(str), st.floats(-100, 100), max_size=3),
    "json_schema": SCHEMAS,
    "response_format": SCHEMAS.map(
        lambda schema: {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    ),
    "lora": st.lists(st.fixed_dictionaries({"id": st.integers(0, 6), "scale": PENALTY}), max_size=3),
    "id": st.integers(0, 6),
    "scale": PENALTY,
    "encoding_format": st.sampled_from(["float", "base64"]),
}
SENSIBLE: dict[str, Any] = {
    "prompt": "Once",
    "messages": [{"role": "user", "content": "Hello."}],
    "content": "x",
    "tokens": [5],
    "input": "x",
    "lora_name": "first",
    "lora_path": "none",
    "id": 0,
}
PATHS: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/embeddings": EmbeddingRequest,
    "/completion": LlamaRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
    "/lora-adapters": LoraScale,
    "/v1/load_lora_adapter": LoadRequest,
    "/v1/unload_lora_adapter": UnloadRequest,
}
NAMES = sorted({name for model in PATHS.values() for name in model.model_fields})


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Any]:
    """An address, and a document that may be one that it takes."""
    path = draw(st.sampled_from(sorted(PATHS)))
    fields = PATHS[path].model_fields
    body = {name: SENSIBLE[name] for name, field in fields.items() if field.is_required()}
    for name in draw(st.lists(st.sampled_from([*sorted(fields)] * 4 + NAMES), max_size=5)):
        known = KNOWN.get(name, ANY)
        body[name] = draw(st.one_of(known, known, known, ANY))
    for name in ("max_tokens", "n_predict"):
        if name in fields:
            body.setdefault(name, 4)
    if "n_predict" in fields:
        del body["max_tokens"]
    document = [body] if path == "/lora-adapters" else body
    return path, draw(st.one_of(*[st.just(document)] * 9, ANY))


ADDRESSES = [
    *PATHS,
    "/v1/models",
    "/v1/models/first",
    "/completions",
    "/health",
    "/v1/health",
    "/props",
    "/slots",
    "/metrics",
    "/",
    "/nowhere",
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"]
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
HEADER_NAMES = ["content-type", "accept", "authorization", "x-api-key", "origin", "expect", "cookie", "range"]
VALUES = ["application/json", 'text/plain; charset="', "gzip", "100-continue", "Bearer x", "bytes=0-", "["]
HEADERS = st.dictionaries(st.sampled_from(HEADER_NAMES), st.sampled_from(VALUES) | VISIBLE, max_size=3)
BYTES = [b"\xff", b"\\ud800", b"1e999", b"{", b'"']
ENDINGS = ["", "/", "//", "%00", "%ff"]
QUERIES = st.just("") | st.dictionaries(VISIBLE, VISIBLE, max_size=3).map(
    lambda given: "?" + "&".join(f"{quote(name)}={quote(value)}" for name, value in given.items())
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body that means something, some bytes of which are others, or none at all; or bytes."""
    _, document = draw(requests())
    body = bytearray(json.dumps(document, allow_nan=True).encode())
    for _ in range(draw(st.integers(0, 3))):
        at, cut = draw(st.integers(0, len(body))), draw(st.integers(0, 3))
        body[at : at + cut] = draw(st.binary(max_size=3) | st.sampled_from(BYTES))
    return draw(st.just(bytes(body)) | st.binary(max_size=40))


@st.composite
def anything(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    """Method, address, headers and body."""
    address = draw(st.sampled_from(ADDRESSES)) + draw(st.sampled_from(ENDINGS) | VISIBLE.map(quote))
    return draw(st.sampled_from(METHODS)), address + draw(QUERIES), draw(HEADERS), draw(st.just(b"") | bodies())
