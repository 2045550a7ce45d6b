"""The evaluation callback: between ``A_pool @ x`` and ``B_pool``, keep of each token only its own adapters' rows.

llama.cpp calls it once for each node of the graph before computing (ask) and, where it answered yes, once after
(observe). The observed node is the product ``A_pool @ x``, f32 ``[n_tokens, n_columns]`` in numpy order, for experts
``[n_tokens, n_used, n_columns]``; it is multiplied in place with the mask, which holds each token's effective scales
on the rows of its adapters, and zero elsewhere. In the last layer llama.cpp has dropped the tokens without outputs,
so there are two masks to choose from. There are two callbacks that do the same, one in native code and one in Python.
Source: ``ggml_backend_sched_compute_splits``, ggml/src/ggml-backend.cpp.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgelora.errors import EngineError
from edgelora.gguf.facts import LORA_A, LORA_B
from edgelora.native import layout, mask_callback
from edgelora.native.context import EvalCallback

FloatMatrix = NDArray[np.float32]


class Watched(NamedTuple):
    """Which mask applies to the product of a pool's A tensor, and whether the tensor belongs to experts."""

    kind: int
    routed: bool = False


class Masker(ABC):
    """Owns the callback of one context. Set the masks before a decode; the pool tells which nodes to watch.

    The callback never raises, and never answers False after a node was computed: that would make llama.cpp skip the
    rest of the graph and still report success. What went wrong inside waits for :meth:`raise_error`.
    """

    kind: Literal["native", "python"]
    callback: object
    """What llama.cpp calls, and ``state`` what it hands over: ``cb_eval`` and ``cb_eval_user_data``."""

    state: ctypes.Structure | None = None

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self._n_watched = 0
        self._found: dict[str, int] | None = None

    def watch(self, tensors: Mapping[int, Watched]) -> None:
        """Mask the products of these A tensors, by address."""
        self._n_watched = len(tensors)
        self._watch(tensors)

    def set_masks(self, tokens: Sequence[FloatMatrix], outputs: Sequence[FloatMatrix]) -> None:
        """The masks of the next decode, by kind: contiguous f32 [n_tokens, n_columns] and [n_outputs, n_columns]."""
        self._set_masks(tokens, outputs)

    def require_applied(self) -> None:
        """Raise EngineError if the last decode computed the product of a watched tensor unseen, and so unmasked."""
        applied = self._n_applied()
        if applied < self._n_watched:
            raise EngineError(f"only {applied} of {self._n_watched} adapter products were masked")

    def raise_error(self) -> None:
        """Raise what went wrong during the last decode, whose results are then worthless."""
        error, self._error = self._error or self._native_error(), None
        if isinstance(error, Exception):
            raise EngineError(f"the adapter mask failed: {type(error).__name__}: {error}") from error
        if error:
            raise error

    def begin_discovery(self) -> None:
        """From now on remember where adapter tensors are, until :meth:`end_discovery`; nothing is masked."""
        self._found = {}
        self._discover(True)

    def end_discovery(self) -> dict[str, int]:
        """Addresses of the adapter tensors that the graph used since :meth:`begin_discovery`, by name."""
        found, self._found = self._found or {}, None
        self._discover(False)
        return found

    @abstractmethod
    def _watch(self, tensors: Mapping[int, Watched]) -> None: ...

    @abstractmethod
    def _set_masks(self, tokens: Sequence[FloatMatrix], outputs: Sequence[FloatMatrix]) -> None: ...

    @abstractmethod
    def _n_applied(self) -> int: ...

    @abstractmethod
    def _discover(self, on: bool) -> None: ...

    def _native_error(self) -> Exception | None:
        return None

    def _visit(self, source: int) -> None:
        try:
            name = layout.name_of(source) if source else ""
            if name.endswith((LORA_A, LORA_B)) and self._found is not None:
                self._found[name] = source
        except BaseException as error:
            self._error = error


class NativeMasker(Masker):
    """The callback of ``native/mask_callback.c``: nothing of it holds Python's lock or waits for it."""

    kind = "native"

    def __init__(self, function: Callable[..., bool]) -> None:
        super().__init__()
        self.callback = ctypes.cast(function, EvalCallback)  # type: ignore[arg-type]
        self.state: mask_callback.State = mask_callback.new_state()
        self._visitor = mask_callback.Visit(self._visit)
        self._kept: tuple[object, ...] = ()  # what the state points to

    def _watch(self, tensors: Mapping[int, Watched]) -> None:
        mask_callback.watch(self.state, tensors)

    def _set_masks(self, tokens: Sequence[FloatMatrix], outputs: Sequence[FloatMatrix]) -> None:
        self._kept = (tokens, outputs)
        self.state.n_applied = 0
        self.state.n_columns = tokens[0].shape[1] if tokens else 0
        self.state.tokens = _addresses(tokens)
        self.state.outputs = self.state.tokens if outputs is tokens else _addresses(outputs)

    def _n_applied(self) -> int:
        return int(self.state.n_applied)

    def _discover(self, on: bool) -> None:
        self.state.visit = self._visitor if on else mask_callback.Visit()

    def _native_error(self) -> Exception | None:
        error, self.state.error = self.state.error, 0
        what = {mask_callback.WRONG_ROWS: "rows", mask_callback.WRONG_COLUMNS: "columns"}.get(error)
        return ValueError(f"a product has {self.state.found} {what}") if what else None


class PythonMasker(Masker):
    """The same in Python, which costs about a millisecond a step."""

    kind = "python"

    def __init__(self) -> None:
        super().__init__()
        self._applied = 0
        self._watched: dict[int, Watched] = {}
        self._masks: dict[int, Sequence[FloatMatrix]] = {}  # number of tokens in the node -> mask by kind
        self._views: dict[tuple[int, tuple[int, ...]], FloatMatrix] = {}
        self.callback = EvalCallback(self._handler())

    def _watch(self, tensors: Mapping[int, Watched]) -> None:
        self._watched.clear()
        self._watched.update(tensors)
        self._views.clear()

    def _set_masks(self, tokens: Sequence[FloatMatrix], outputs: Sequence[FloatMatrix]) -> None:
        self._masks = {len(outputs[0]): outputs, len(tokens[0]): tokens} if tokens else {}
        self._applied = 0

    def _n_applied(self) -> int:
        return self._applied

    def _discover(self, on: bool) -> None:
        """The handler looks at what was found."""

    def _handler(self) -> Callable[[int, bool, int | None], bool]:
        """The callback itself. It runs hundreds of times a step, so what it needs is bound once."""
        address, src0, watched = ctypes.c_uint64.from_address, layout.SRC0, self._watched

        def on_node(node: int, ask: bool, user_data: int | None) -> bool:
            try:
                source = address(node + src0).value
                if not ask:
                    self._apply(node, watched[source])
                    return True
                if self._found is None:
                    return source in watched
                self._visit(source)
                return False
            except BaseException as error:
                self._error = error
                return not ask

        return on_node

    def _apply(self, node: int, watched: Watched) -> None:
        self._applied += 1
        n_columns, n_rows, n_tokens = (layout.read_i64(node + layout.NE + 8 * i) for i in range(3))
        shape = (n_tokens, n_rows, n_columns) if watched.routed else (n_rows, n_tokens, n_columns)
        if shape[0] == 0:  # the last layer of a batch that wants no logits
            return
        mask = self._masks.get(shape[0])
        if mask is None or not (watched.routed or n_tokens == 1):
            raise ValueError(f"a product has {n_rows * n_tokens} rows")
        if n_columns != mask[watched.kind].shape[1]:
            raise ValueError(f"a product has {n_columns} columns")
        view = self._view(node, shape)
        np.multiply(view, mask[watched.kind][:, None], out=view)

    def _view(self, node: int, shape: tuple[int, ...]) -> FloatMatrix:
        data = layout.read_pointer(node + layout.DATA)
        view = self._views.get((data, shape))
        if view is None:
            memory = (ctypes.c_float * (shape[0] * shape[1] * shape[2])).from_address(data)
            view = np.frombuffer(memory, np.float32).reshape(shape)  # type: ignore[call-overload]
            self._views[data, shape] = view
        return view


def new_masker() -> Masker:
    """The native callback where it was built, else the one in Python."""
    function = mask_callback.load()
    return NativeMasker(function) if function else PythonMasker()


def _addresses(masks: Sequence[FloatMatrix]) -> mask_callback.Masks:
    addresses = (ctypes.c_void_p * len(masks))(*(mask.ctypes.data for mask in masks))
    return mask_callback.Masks(len(masks[0]) if masks else 0, addresses)
