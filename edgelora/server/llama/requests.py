"""What llama-server's clients may ask for. Its parameters that are not carried here must ask for nothing."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgelora.server.openai.requests import Neutral, Sampled, Text
from edgelora.types import MOST_LOGPROBS


class LlamaRequest(Sampled):
    """POST /completion. Source of names and neutral values: tools/server/README.md of llama.cpp."""

    prompt: Text | list[int]
    n_predict: int | None = Field(None, ge=-1)
    n_probs: int | None = Field(0, ge=0, le=MOST_LOGPROBS)
    json_schema: dict[str, Any] | bool | None = None
    n: Literal[1] | None = 1
    cache_prompt: bool | None = None  # what was computed under a selection is always kept, and changes no answer
    id_slot: int | None = None  # places are chosen by what they hold
    n_keep: int | None = None  # nothing is ever left out of a prompt
    return_tokens: Neutral = None
    timings_per_token: Neutral = None
    post_sampling_probs: Neutral = None
    return_progress: Neutral = None
    ignore_eos: Neutral = None
    grammar: Literal[""] | None = None
    repeat_last_n: Literal[64] | None = None
    typical_p: Literal[1] | Neutral = None
    xtc_probability: Literal[0] | Neutral = None
    dry_multiplier: Literal[0] | Neutral = None
    dynatemp_range: Literal[0] | Neutral = None
    mirostat: Literal[0] | Neutral = None
    min_keep: Literal[0] | Neutral = None
    n_indent: Literal[0] | Neutral = None
    t_max_predict_ms: Literal[0] | Neutral = None
