"""A base opened by llama.cpp: weights and vocabulary."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import llama_cpp

from edgelora.errors import EngineError
from edgelora.native import backend


class Model:
    """The weights of one GGUF, memory-mapped, and its vocabulary. Close it after every context on it.

    ``repack`` False keeps llama.cpp from copying quantized weights into a layout that some processors compute with
    faster; then all weights stay in the mapped file. Raises EngineError where llama.cpp refuses the file; what it
    said is in the message.
    """

    def __init__(
        self,
        path: Path,
        *,
        gpu_layers: int = 0,
        repack: bool = True,
        report: Callable[[float], object] = lambda share: None,
    ) -> None:
        backend.start()
        self.path = path
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.use_extra_bufts = repack
        progress = type(params.progress_callback)(_progress(report))
        params.progress_callback = progress
        backend.forget_log()
        self.pointer = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
        if not self.pointer:
            raise EngineError(
                f"llama.cpp cannot load {path}: {backend.recent_log() or 'no reason given'}",
                "The file may be damaged or made for a newer llama.cpp; download it again or update llama-cpp-python.",
            )
        self.vocab = llama_cpp.llama_model_get_vocab(self.pointer)
        self.n_vocab = int(llama_cpp.llama_vocab_n_tokens(self.vocab))
        self.n_bytes = int(llama_cpp.llama_model_size(self.pointer))
        self.n_params = int(llama_cpp.llama_model_n_params(self.pointer))
        self.has_vocabulary = llama_cpp.llama_vocab_type(self.vocab) != llama_cpp.LLAMA_VOCAB_TYPE_NONE
        self.has_memory_of_its_own = bool(
            llama_cpp.llama_model_is_recurrent(self.pointer) or llama_cpp.llama_model_is_hybrid(self.pointer)
        )

    def tokenize(self, text: str, *, parse_special: bool, add_special: bool) -> tuple[int, ...]:
        """The token ids of ``text``."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            tokens = (llama_cpp.llama_token * room)()
            n = llama_cpp.llama_tokenize(self.vocab, data, len(data), tokens, room, add_special, parse_special)
            if n >= 0:
                return tuple(tokens[:n])
            room = -n

    def piece(self, token: int) -> bytes:
        """The bytes of one token; control tokens have none. A piece may be part of a character."""
        room = 32
        while True:
            buffer = ctypes.create_string_buffer(room)
            n = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, room, 0, False)
            if n >= 0:
                return buffer.raw[:n]
            room = -n

    def ends_generation(self, token: int) -> bool:
        """Is it one of the tokens that end an answer (end of text, end of turn)?"""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def close(self) -> None:
        """Free the weights. Safe to call twice."""
        if self.pointer:
            llama_cpp.llama_model_free(self.pointer)
            self.pointer = None

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _progress(report: Callable[[float], object]) -> Callable[[float, object], bool]:
    def on_progress(share: float, user_data: object) -> bool:
        report(share)
        return True  # False would cancel the load

    return on_progress
