"""The evaluation callback: between ``A_pool @ x`` and ``B_pool``, keep of each token only its own adapters' rows.

llama.cpp calls it once for each node of the graph before computing (ask) and, where it answered yes, once after
(observe). The observed node is the product ``A_pool @ x``, f32 ``[n_tokens, n_rows]`` in numpy order; it is
multiplied in place with the mask, which holds each token's effective scales on the rows of its adapters, and zero
elsewhere. In the last layer llama.cpp has dropped the tokens without outputs, so there are two masks to choose from.
Source: ``ggml_backend_sched_compute_splits``, ggml/src/ggml-backend.cpp.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgelora.errors import EngineError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.native import layout
from edgelora.native.context import EvalCallback

FloatMatrix = NDArray[np.float32]


class Masker:
    """Owns the callback of one context. Set the masks before a decode; the pool tells which nodes to watch.

    The callback never raises, and never answers False after a node was computed: that would make llama.cpp skip the
    rest of the graph and still report success. What was raised inside, a Ctrl-C for instance, waits for
    :meth:`raise_error`.
    """

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._n_applied = 0
        self._kinds: dict[int, int] = {}  # address of a pool A tensor -> which mask applies
        self._masks: dict[int, Sequence[FloatMatrix]] = {}  # number of rows in the node -> mask by kind
        self._views: dict[tuple[int, int, int], FloatMatrix] = {}
        self._found: dict[str, int] | None = None
        self.callback = EvalCallback(self._handler())

    def watch(self, kinds: dict[int, int]) -> None:
        """Mask the products of these A tensors, by address, each with its kind of mask."""
        self._kinds.clear()
        self._kinds.update(kinds)
        self._views.clear()

    def set_masks(self, tokens: Sequence[FloatMatrix], outputs: Sequence[FloatMatrix]) -> None:
        """The masks of the next decode, by kind: f32 [n_tokens, n_rows] and [n_outputs, n_rows]."""
        self._masks = {len(outputs[0]): outputs, len(tokens[0]): tokens} if tokens else {}
        self._n_applied = 0

    def require_applied(self) -> None:
        """Raise EngineError if the last decode computed the product of a watched tensor unseen, and so unmasked."""
        if self._n_applied < len(self._kinds):
            raise EngineError(f"only {self._n_applied} of {len(self._kinds)} adapter products were masked")

    def raise_error(self) -> None:
        """Raise what was raised during the last decode, whose results are then worthless."""
        error, self._error = self._error, None
        if isinstance(error, Exception):
            raise EngineError(f"the adapter mask failed: {type(error).__name__}: {error}") from error
        if error:
            raise error

    def begin_discovery(self) -> None:
        """From now on remember where adapter tensors are, until :meth:`end_discovery`; nothing is masked."""
        self._found = {}

    def end_discovery(self) -> dict[str, int]:
        """Addresses of the adapter tensors that the graph used since :meth:`begin_discovery`, by name."""
        found, self._found = self._found or {}, None
        return found

    def _handler(self) -> Callable[[int, bool, int | None], bool]:
        """The callback itself. It runs hundreds of times a step, so what it needs is bound once."""
        address, src0, kinds = ctypes.c_uint64.from_address, layout.SRC0, self._kinds

        def on_node(node: int, ask: bool, user_data: int | None) -> bool:
            try:
                source = address(node + src0).value
                if not ask:
                    self._apply(node, kinds[source])
                    return True
                if self._found is None:
                    return source in kinds
                self._remember(source)
                return False
            except BaseException as error:
                self._error = error
                return not ask

        return on_node

    def _apply(self, node: int, kind: int) -> None:
        self._n_applied += 1
        n_rows = ctypes.c_int64.from_address(node + layout.NE1).value
        if n_rows == 0:  # the last layer of a batch that wants no logits
            return
        mask = self._masks[n_rows][kind]
        data = ctypes.c_uint64.from_address(node + layout.DATA).value
        key = (data, n_rows, mask.shape[1])
        view = self._views.get(key)
        if view is None:
            memory = (ctypes.c_float * (n_rows * mask.shape[1])).from_address(data)
            view = self._views[key] = np.frombuffer(memory, np.float32).reshape(n_rows, mask.shape[1])
        np.multiply(view, mask, out=view)

    def _remember(self, source: int) -> None:
        if source:
            name = layout.name_of(source)
            if name.endswith((LORA_A, LORA_B)):
                assert self._found is not None
                self._found[name] = source
