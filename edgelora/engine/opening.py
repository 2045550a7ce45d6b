"""Opening a base: model, context, and what is said about it."""

from __future__ import annotations

import psutil

from edgelora.engine.mask import Masker
from edgelora.engine.memory import MemoryPlan
from edgelora.errors import EngineError
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.hashes import fingerprint
from edgelora.gguf.header import Header
from edgelora.native import backend, layout
from edgelora.native.context import Context
from edgelora.native.model import Model
from edgelora.types import BaseInfo, EngineConfig, Progress, ReportProgress

TINY = 32 * 2**20
"""Bytes of weights below which one thread is quicker than two."""


def require_vocabulary(header: Header) -> None:
    """Raise EngineError for a base that cannot read text: llama.cpp aborts when it is asked to (llama-vocab.cpp)."""
    if header.get("tokenizer.ggml.model", "no_vocab") in ("no_vocab", "none"):
        raise EngineError(f"{header.path.name} has no tokenizer, so it cannot read a prompt", "Choose another base.")


def open_model(config: EngineConfig, report: ReportProgress) -> Model:
    """Load the weights, reporting in hundredths. Raises EngineError."""
    if config.gpu_layers and not backend.can_offload():
        raise EngineError(
            "this llama-cpp-python was built without a GPU backend, so no layers can go to a GPU",
            "Leave --gpu-layers out, or set up again with scripts/edgelora --backend cuda|metal|vulkan.",
        )
    return Model(
        config.base,
        gpu_layers=config.gpu_layers,
        report=lambda share: report(Progress("loading the base", round(share * 100), 100, "%")),
    )


def open_context(model: Model, config: EngineConfig, plan: MemoryPlan, scratch: int, masker: Masker) -> Context:
    """The context of the engine, with ``scratch`` sequences more than requests use. Raises MemoryLimitError."""
    return Context(
        model,
        cells=plan.cells,
        sequences=config.max_sequences + scratch,
        batch=config.batch,
        threads=config.threads or default_threads(plan.weights),
        kv_dtype=config.kv_dtype,
        flash_attention=config.flash_attention,
        offload=config.gpu_layers > 0,
        callback=masker.callback,
        callback_state=masker.state,
    )


def default_threads(weights: int) -> int:
    """One for each physical core; a single one for a tiny base, whose threads wait longer than they compute.

    ``weights`` is the size of the base in bytes.
    """
    return 1 if weights < TINY else psutil.cpu_count(logical=False) or 1


def base_info(model: Model, facts: BaseFacts, plan: MemoryPlan, exclusive: str, masker: Masker) -> BaseInfo:
    """What was opened; ``exclusive`` is why the pool is not used, empty if it is."""
    return BaseInfo(
        path=model.path,
        name=facts.name,
        fingerprint=fingerprint(model.path),
        arch=facts.arch,
        n_params=model.n_params,
        quantization=facts.quantization,
        ctx=plan.ctx,
        ctx_train=facts.n_ctx_train,
        n_vocab=model.n_vocab,
        chat_template=facts.chat_template,
        sampling_hints={
            key: float(value)
            for key, value in facts.sampling.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        mode="exclusive" if exclusive else "pooled",
        mode_reason=exclusive,
        callback=masker.kind,
        baked=facts.baked,
        system_prompt=facts.system_prompt or "",
        end_tokens=facts.end_tokens,
    )


def why_exclusive(model: Model, config: EngineConfig) -> str:
    """Why the mask cannot be used; empty if it can. Whether it works is the self-test's question."""
    if config.exclusive:
        return "asked for"
    if config.gpu_layers:
        return "the mask works on host memory, and layers are on a GPU"
    if model.has_memory_of_its_own:
        return "recurrent memory reorders the tokens of a batch"
    return layout.check()
