"""What OpenAI's clients may ask for, field by field. What is not listed is refused by name, never ignored."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgelora.errors import UsageError
from edgelora.server.errors import ApiError
from edgelora.types import LARGEST_SEED, MOST_LOGPROBS, SamplingParams

Text = Annotated[str, Field(min_length=1)]
Neutral = Literal[False] | None
"""Of a parameter that means something elsewhere, the values that ask for nothing."""


class LoraScale(BaseModel):
    """llama-server's ``lora: [{id, scale}]``."""

    model_config = ConfigDict(extra="forbid")

    id: int = Field(ge=0)
    scale: float = Field(1.0, ge=-10, le=10)


class StreamOptions(BaseModel):
    """``include_usage`` asks for one more event with the numbers of tokens."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool | None = False
    include_obfuscation: bool | None = None  # nothing is padded here


class Sampled(BaseModel):
    """What both kinds of completion have in common, with llama.cpp's samplers beside OpenAI's."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, max_length=1000)
    lora: list[LoraScale] | None = Field(None, max_length=64)
    max_tokens: int | None = Field(None, ge=0)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=10**6)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, gt=0, le=10)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(None, max_length=1000)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    n: int | None = Field(1, ge=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    user: str | None = None  # these four say who asks and how it is billed, which changes no answer
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None

    @property
    def scales(self) -> list[tuple[int, float]] | None:
        """``lora`` as numbers and scales."""
        return None if self.lora is None else [(one.id, one.scale) for one in self.lora]

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def choices(self) -> int:
        """How many answers."""
        return self.n or 1

    def sampling(self, defaults: SamplingParams, n_vocab: int, **more: object) -> SamplingParams:
        """What was asked for over ``defaults``, and ``more``. Raises ApiError."""
        names = ("temperature", "min_p", "repeat_penalty", "frequency_penalty", "presence_penalty", "max_tokens")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.top_p is not None:
            given["top_p"] = self.top_p or 1e-9  # 0 leaves the likeliest, which 0 itself does not say in llama.cpp
        if self.top_k is not None:
            given["top_k"] = max(0, self.top_k)  # -1 is off in vLLM
        if self.seed is not None:
            given["seed"] = self.seed % LARGEST_SEED
        if self.stop:
            given["stop"] = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        if self.logit_bias:
            given["logit_bias"] = _biases(self.logit_bias, n_vocab)
        try:
            return replace(defaults, **given, **more)  # type: ignore[arg-type]
        except UsageError as error:
            raise ApiError(400, str(error), "invalid_value", param=error.message.split()[0]) from None


class CompletionRequest(Sampled):
    """POST /v1/completions. A prompt is text or token ids, or a list of either."""

    prompt: Text | list[Text] | list[int] | list[list[int]]
    logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    echo: bool | None = False
    best_of: Literal[1] | None = None
    suffix: Literal[""] | None = None
    grammar: None = None


class FunctionCall(BaseModel):
    """What a model wants to call, with the arguments as JSON text."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    arguments: str = "{}"


class ToolCall(BaseModel):
    """One call of an earlier answer."""

    model_config = ConfigDict(extra="forbid")

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCall
    index: int | None = None


class TextPart(BaseModel):
    """A part of a message. Only text is known here."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """Who said what. Fields of other hosts that come back with an answer, such as ``refusal``, are empty here."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    annotations: list[Any] | None = Field(None, max_length=0)
    audio: None = None
    function_call: None = None

    @property
    def text(self) -> str:
        """All that was said."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class FunctionSpec(BaseModel):
    """A function that a model may ask to call."""

    model_config = ConfigDict(extra="forbid")

    name: Text
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Neutral = None


class Tool(BaseModel):
    """Only functions are known here."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["function"]
    function: FunctionSpec


class JsonSchema(BaseModel):
    """What an answer is to look like."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = ""
    description: str | None = None
    strict: bool | None = None  # it is always kept to
    schema_: dict[str, Any] | bool | None = Field(None, alias="schema")


class ResponseFormat(BaseModel):
    """Text, any JSON object, or JSON after a schema."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(Sampled):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = Field(None, max_length=128)
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    store: Neutral = None
    metadata: dict[str, str] | None = None
    modalities: list[Literal["text"]] | None = None


def _biases(biases: dict[str, float], n_vocab: int) -> tuple[tuple[int, float], ...]:
    for token in biases:
        if not token.isdecimal() or int(token) >= n_vocab:
            raise ApiError(400, f"{token!r} is no token id below {n_vocab}", "invalid_value", param="logit_bias")
    return tuple((int(token), bias) for token, bias in biases.items())
