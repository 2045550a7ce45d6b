"""A llama.cpp context: the KV cache, decoding, and which adapters are set."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from edgelora.errors import AdapterError, EngineError, MemoryLimitError, UnsupportedError
from edgelora.native import backend
from edgelora.native.batch import Batch
from edgelora.native.model import Model
from edgelora.types import FlashAttention, KVType

_KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}
_FLASH = {"auto": -1, "off": 0, "on": 1}  # enum llama_flash_attn_type

EvalCallback = llama_cpp.ggml_backend_sched_eval_callback
"""ctypes type of ``bool (ggml_tensor * node, bool ask, void * user_data)``."""

DecodeStatus = int
"""0: done; 1: no room in the KV cache; 2: aborted; negative: refused. Source: ``llama_decode``, llama.h."""


class NativeAdapter:
    """An adapter that llama.cpp loaded. Free it only while no context has it set.

    The file must have been checked before (:mod:`edgelora.gguf.fit`): llama.cpp aborts on some malformed ones.
    """

    def __init__(self, model: Model, path: Path) -> None:
        backend.forget_log()
        self.pointer = llama_cpp.llama_adapter_lora_init(model.pointer, os.fsencode(path))
        if not self.pointer:
            raise AdapterError(f"llama.cpp cannot load the adapter {path}: {backend.recent_log()}")

    def free(self) -> None:
        """Give its memory back. Safe to call twice."""
        if self.pointer:
            llama_cpp.llama_adapter_lora_free(self.pointer)
            self.pointer = None


class Context:
    """``cells`` tokens of KV shared by up to ``sequences`` sequences, decoded ``batch`` tokens at a time.

    KV is unified and a batch is one ubatch, so that rows of an activation are the tokens of the batch, in order.
    ``outputs`` is how many tokens of a batch may ask for logits; by default one for each sequence. With ``embeddings``
    the hidden states of all tokens are kept.
    """

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        sequences: int,
        batch: int,
        threads: int,
        kv_dtype: KVType = "f16",
        flash_attention: FlashAttention = "auto",
        offload: bool = False,
        callback: object | None = None,
        callback_state: ctypes.Structure | None = None,
        outputs: int | None = None,
        embeddings: bool = False,
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max = cells, sequences
        params.n_outputs_max = outputs or sequences
        params.n_outputs_max_per_seq = 0 if outputs else 1  # 0: as many as all together
        params.n_batch = params.n_ubatch = batch
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = _KV_TYPES[kv_dtype]
        params.flash_attn_type = _FLASH[flash_attention]
        params.kv_unified = True
        params.no_perf = True
        if embeddings:
            params.embeddings, params.pooling_type = True, llama_cpp.LLAMA_POOLING_TYPE_NONE
        # work that moved to a GPU would not be seen by the callback
        params.op_offload = params.offload_kqv = offload
        if callback is not None:
            params.cb_eval = callback
        if callback_state is not None:
            params.cb_eval_user_data = ctypes.addressof(callback_state)
        self._callback = callback, callback_state  # they die with their last reference
        self.n_vocab = model.n_vocab
        self._n_embd = int(llama_cpp.llama_model_n_embd(model.pointer))
        self.sequences = sequences
        self._adapters: tuple[tuple[NativeAdapter, float], ...] = ()
        backend.forget_log()
        self.pointer = llama_cpp.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise MemoryLimitError(
                f"llama.cpp cannot open a context of {cells} tokens: {backend.recent_log() or 'no reason given'}",
                "Try a smaller --ctx.",
            )
        self.cells = int(llama_cpp.llama_n_ctx(self.pointer))
        self._memory = llama_cpp.llama_get_memory(self.pointer)

    def decode(self, batch: Batch) -> DecodeStatus:
        """Compute ``batch`` and wait for it. Afterwards :meth:`logits` gives the rows that were asked for."""
        status = int(llama_cpp.llama_decode(self.pointer, batch.native))
        if status == 0:
            llama_cpp.llama_synchronize(self.pointer)
        return status

    def logits(self, index: int) -> np.ndarray:
        """A copy of the logits, f32 [n_vocab], of the batch's token ``index``."""
        return self._logits(index).copy()

    def hidden_states(self, n_tokens: int) -> np.ndarray:
        """A copy of the hidden states, f32 [n_tokens, n_embd], of the first tokens of the last batch.

        Only with ``embeddings``. Raises UnsupportedError where the base's architecture gives none.
        """
        rows = [llama_cpp.llama_get_embeddings_ith(self.pointer, i) for i in range(n_tokens)]
        if not all(rows):
            raise UnsupportedError("this base gives no embeddings", "Use a base of another architecture.")
        return np.stack([np.ctypeslib.as_array(row, shape=(self._n_embd,)) for row in rows])

    def likeliest(self, index: int) -> int:
        """The token with the largest logit, the first of equals, after the batch's token ``index``."""
        return int(self._logits(index).argmax())

    def has_finite_logits(self, index: int) -> bool:
        """Are the logits of the batch's token ``index`` numbers? One that is none is the least and the largest."""
        row = llama_cpp.llama_get_logits_ith(self.pointer, index)
        if not row:
            return False
        logits = np.ctypeslib.as_array(row, shape=(self.n_vocab,))
        return bool(np.isfinite(logits.min()) and np.isfinite(logits.max()))

    def set_adapters(self, adapters: Sequence[tuple[NativeAdapter, float]]) -> None:
        """Have llama.cpp apply exactly ``adapters`` with their scales to every token from now on.

        A change makes the next decode rebuild the scheduler (milliseconds); the same set again costs nothing.
        """
        wanted = tuple(adapters)
        if wanted == self._adapters:
            return
        size = max(len(adapters), 1)
        pointers = (llama_cpp.llama_adapter_lora_p_ctypes * size)(*(adapter.pointer for adapter, _ in adapters))
        scales = (ctypes.c_float * size)(*(scale for _, scale in adapters))
        llama_cpp.llama_set_adapters_lora(self.pointer, pointers, len(adapters), scales)
        self._adapters = wanted

    def forget(self, sequence: int, start: int = 0) -> bool:
        """Drop the KV of ``sequence`` from position ``start`` on. False if only the whole can be dropped."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def forget_everything(self) -> None:
        """Drop the KV of all sequences, and overwrite it: values that are no numbers would outlive their cells."""
        llama_cpp.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        """Free the context. Safe to call twice."""
        if self.pointer:
            llama_cpp.llama_free(self.pointer)
            self.pointer = None

    def _logits(self, index: int) -> np.ndarray:
        row = llama_cpp.llama_get_logits_ith(self.pointer, index)
        if not row:
            raise EngineError(f"llama.cpp has no logits for token {index} of the last batch")
        return np.ctypeslib.as_array(row, shape=(self.n_vocab,))
