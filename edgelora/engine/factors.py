"""An adapter read into memory, ready to be copied into the pool."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgelora.engine.pool_file import rank_axis
from edgelora.errors import AdapterError
from edgelora.gguf.data import tensor_in
from edgelora.gguf.facts import LORA_A, LORA_B, AdapterFacts
from edgelora.gguf.fit import require_fit
from edgelora.gguf.header import Header
from edgelora.gguf.reader import read_whole
from edgelora.types import AdapterFile, KVType

FloatArray = NDArray[np.float16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Factors:
    """The two factors of one adapted tensor, in the pool's dtype: ``a`` has the rank first, ``b`` has it last.

    Of a matrix that is [rank, n_in] and [n_out, rank], of experts [rank, n_expert, n_in] and [n_expert, n_out, rank],
    of the token embedding [rank, n_vocab] and [n_embd, rank].
    ``scale`` is what the user's scale is multiplied with: alpha / rank, or what the file says.
    """

    a: FloatArray
    b: FloatArray
    scale: float


@dataclass(frozen=True, slots=True)
class PreparedAdapter:
    """One adapter's factors by base tensor name.

    ``n_bytes`` is the size of its file; ``read_ms`` (with its hash) and ``prepare_ms`` are what making this took.
    """

    file: AdapterFile
    rank: int
    n_bytes: int
    targets: tuple[str, ...]
    factors: Mapping[str, Factors]
    ignored: tuple[str, ...]
    read_ms: float = 0.0
    prepare_ms: float = 0.0

    @property
    def nbytes(self) -> int:
        """The memory its factors take, in bytes."""
        return sum(factors.a.nbytes + factors.b.nbytes for factors in self.factors.values())

    @property
    def common_scale(self) -> float:
        """The scale most of its tensors have; 1 if it has none."""
        counts = Counter(factors.scale for factors in self.factors.values())
        return counts.most_common(1)[0][0] if counts else 1.0


def require_unchanged(file: AdapterFile, sha256: str) -> None:
    """Raise AdapterError unless ``sha256``, of its bytes as they are now, is that of ``file``."""
    if sha256 != file.sha256:
        raise AdapterError(f"{file.path} has changed since it was listed", "Choose it again to use the new file.")


def prepare(file: AdapterFile, base: Header, dtype: KVType) -> PreparedAdapter:
    """Read ``file`` once, check it against its hash and against ``base``, and bring it into the pool's ``dtype``.

    Factors that have that type already are views of the file's bytes. Any thread may do this.
    Raises GGUFError, AdapterError or AdapterMismatchError, before anything native has seen the file.
    """
    began = time.perf_counter()
    header, data = read_whole(file.path)
    require_unchanged(file, hashlib.sha256(data).hexdigest())
    read = time.perf_counter()
    require_fit(header, base)
    facts = AdapterFacts.of(header)
    if not facts.ranks:
        raise AdapterError(f"{file.path} holds no pair of LoRA factors", "Convert it again, or choose another file.")
    if facts.is_alora:
        raise AdapterError(
            f"{file.path} is an activated LoRA, which takes effect only behind its invocation tokens",
            "This engine applies an adapter to every token, so it cannot run it.",
        )
    factors = {name: _factors(header, data, facts, name, np.dtype(_NUMPY[dtype])) for name in facts.ranks}
    return PreparedAdapter(
        file=file,
        rank=facts.max_rank,
        n_bytes=facts.file_size,
        targets=facts.targets,
        factors=factors,
        ignored=tuple(name for name in header.tensors if name.endswith("_norm.weight")),  # as llama.cpp does
        read_ms=(read - began) * 1e3,
        prepare_ms=(time.perf_counter() - read) * 1e3,
    )


_NUMPY = {"f16": "float16", "f32": "float32"}
_F16_INFINITY = 0x7C00  # all exponent bits set; NaN lies above


def _factors(header: Header, data: bytes, facts: AdapterFacts, name: str, dtype: np.dtype[np.floating]) -> Factors:
    a, b = (_finite(header, data, name + suffix) for suffix in (LORA_A, LORA_B))
    axis = rank_axis(name)
    if a.dtype == b.dtype == dtype:
        return Factors(np.moveaxis(a, axis, 0), b, facts.scales[name])  # type: ignore[arg-type]
    a, b = _balanced(a, b) if dtype == np.float16 and a.dtype != np.float16 else (a, b)
    cast_a, cast_b = (np.asarray(factor).astype(dtype, copy=False) for factor in (a, b))
    if not (_is_finite(cast_a) and _is_finite(cast_b)):
        raise AdapterError(f"{header.path}: {name} does not fit into {dtype}", "Convert the adapter with --dtype f16.")
    return Factors(np.moveaxis(cast_a, axis, 0), cast_b, facts.scales[name])


def _finite(header: Header, data: bytes, name: str) -> NDArray[np.generic]:
    values = tensor_in(data, header, header.tensors[name])
    if not _is_finite(values):
        raise AdapterError(f"{header.path}: {name} holds values that are no numbers (NaN or infinity)")
    return values


def _is_finite(values: NDArray[np.generic]) -> bool:
    """Is every value a number? For F16 by its bits, ten times as fast as numpy, which converts each first."""
    if values.dtype != np.float16:
        return bool(np.isfinite(values).all())
    return int((values.view(np.uint16) << 1).max(initial=0)) < _F16_INFINITY << 1


def _balanced(a: NDArray[np.generic], b: NDArray[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """``a`` and ``b`` shifted by opposite powers of two, which is exact, so that their largest values are alike."""
    largest_a, largest_b = (float(np.abs(factor).max(initial=0)) for factor in (a, b))
    if not (largest_a and largest_b):
        return a, b
    shift = round((np.log2(largest_b) - np.log2(largest_a)) / 2)
    return np.ldexp(a, shift), np.ldexp(b, -shift)
