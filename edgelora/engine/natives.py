"""Adapters that llama.cpp holds by itself, for exclusive mode."""

from __future__ import annotations

from edgelora.engine.factors import PreparedAdapter, require_unchanged
from edgelora.gguf.hashes import file_sha256
from edgelora.native.context import Context, NativeAdapter
from edgelora.native.model import Model


class Natives:
    """By content hash. What is removed must not be in use; the context is told to forget it."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model, self._context = model, context
        self._adapters: dict[str, tuple[NativeAdapter, int]] = {}

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._adapters

    def __getitem__(self, sha256: str) -> NativeAdapter:
        return self._adapters[sha256][0]

    @property
    def nbytes(self) -> int:
        """The memory they take, in bytes: about the size of their files."""
        return sum(size for _, size in self._adapters.values())

    def add(self, adapter: PreparedAdapter) -> NativeAdapter:
        """Have llama.cpp read the file of ``adapter``. Raises AdapterError, also if it has changed since."""
        require_unchanged(adapter.file, file_sha256(adapter.file.path))
        native = NativeAdapter(self._model, adapter.file.path)
        self._adapters[adapter.file.sha256] = native, adapter.n_bytes
        return native

    def remove(self, sha256: str) -> None:
        """Free an adapter; nothing happens if it is not there."""
        if sha256 in self._adapters:
            self._context.set_adapters([])
            self._adapters.pop(sha256)[0].free()

    def close(self) -> None:
        """Free everything."""
        for sha256 in list(self._adapters):
            self.remove(sha256)
