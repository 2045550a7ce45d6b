"""GGUF files damaged on purpose, the same for the same seed: some as bytes break, some as a wrong writer would."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from edgelora.gguf.ggml_types import GGML_TYPES, SCALAR_FORMATS, ValueType
from edgelora.gguf.reader import read_header
from support.raw_gguf import ARRAY, KV, STRING, Tensor, encode, text

LARGEST_DATA = 2**24
"""Bytes of tensor data that a mutated file may have."""

EXTREMES = (0, 1, 2, 3, 7, 31, 33, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = ("", "x", "llama", "qwen2", "mamba", "gpt2", "none", "lora", "adapter", "blk.0.attn_q.weight", "\x00", "é" * 40)
FLOATS = (0.0, -0.0, 1e-45, -1.0, 1e38, math.inf, -math.inf, math.nan)


@dataclass(frozen=True)
class Parts:
    """A GGUF in its parts. ``data`` is the whole data section."""

    kvs: tuple[KV, ...]
    tensors: tuple[Tensor, ...]
    data: bytes

    @classmethod
    def of(cls, path: Path) -> Parts:
        """The parts of the file at ``path``."""
        header, raw = read_header(path), path.read_bytes()
        start = min(info.offset for info in header.tensors.values())
        kvs = []
        for key, (begin, end) in header.spans.items():
            value = begin + 8 + len(key.encode()) + 4
            kvs.append(KV(key, header.value_types[key].value, raw[value:end]))
        infos = header.tensors.values()
        tensors = tuple(Tensor(info.name, info.shape, info.type_id, info.offset - start) for info in infos)
        return cls(tuple(kvs), tensors, raw[start:])

    def encoded(self) -> bytes:
        """The file."""
        return encode(self.kvs, self.tensors, self.data)

    def laid_out(self, random: Random | None = None) -> Parts:
        """With the offsets and the amount of data that its tensors need; data that is missing is random, or 0."""
        tensors, offset = [], 0
        for tensor in self.tensors:
            tensors.append(replace(tensor, offset=offset))
            offset += -(-_nbytes(tensor) // 32) * 32
        data = self.data[: min(offset, LARGEST_DATA)]
        missing = min(offset, LARGEST_DATA) - len(data)
        return replace(
            self, tensors=tuple(tensors), data=data + (random.randbytes(missing) if random else bytes(missing))
        )


def mutated(original: Parts, seed: int) -> tuple[str, bytes]:
    """What was done, and the file with one to three mutations, the last of which may break the encoding."""
    random = Random(seed)
    parts, done = original, []
    for _ in range(random.choice((0, 0, 1, 2))):
        kind = random.choice(_WELL_FORMED)
        parts = kind(parts, random)
        done.append(kind.__name__.strip("_"))
    if done and random.random() < 0.6:
        return ", ".join(done), parts.encoded()
    last = random.choice(_BREAKING)
    return ", ".join([*done, last.__name__.strip("_")]), last(parts, random)


# --- files that a wrong writer could make


def _tensor_shape_or_type(parts: Parts, random: Random) -> Parts:
    tensor = random.choice(parts.tensors)
    shape = list(tensor.shape)
    what = random.randrange(4)
    if what == 0:
        shape.reverse()
    elif what == 1:
        shape[random.randrange(len(shape))] = random.choice((1, 2, 31, 32, 64, 255, 256, 257, 512))
    elif what == 2:
        shape = random.choice((shape[:1], [*shape, 1], [*shape, 2], [1, *shape]))[:4]
    type_id = tensor.type_id if what < 3 and random.random() < 0.8 else random.choice(list(GGML_TYPES))
    return _with_tensor(parts, tensor, replace(tensor, shape=tuple(shape), type_id=type_id)).laid_out(random)


def _all_tensors_of_a_type(parts: Parts, random: Random) -> Parts:
    type_id = random.choice(list(GGML_TYPES))
    tensors = tuple(replace(tensor, type_id=type_id) for tensor in parts.tensors)
    return replace(parts, tensors=tensors).laid_out(random)


def _tensor_name(parts: Parts, random: Random) -> Parts:
    tensor, other = random.choice(parts.tensors), random.choice(parts.tensors)
    name = str(other.name)
    shorter = name[: random.randrange(len(name) + 1)]
    changed = random.choice((name, shorter, f"blk.{random.choice(EXTREMES)}.x", name + "_a"))
    return _with_tensor(parts, tensor, replace(tensor, name=changed))


def _tensors_dropped(parts: Parts, random: Random) -> Parts:
    count = random.choice((1, 1, 2, len(parts.tensors) // 2, len(parts.tensors) - 1))
    kept = set(random.sample(range(len(parts.tensors)), max(0, len(parts.tensors) - count)))
    return replace(parts, tensors=tuple(t for i, t in enumerate(parts.tensors) if i in kept)).laid_out(random)


def _tensors_shuffled(parts: Parts, random: Random) -> Parts:
    return replace(parts, tensors=tuple(random.sample(parts.tensors, len(parts.tensors)))).laid_out(random)


def _metadata_value(parts: Parts, random: Random) -> Parts:
    kv = random.choice(parts.kvs)
    return _with_kv(parts, kv, KV(kv.key, kv.kind, _value(ValueType(kv.kind), kv.raw, random)))


def _metadata_type(parts: Parts, random: Random) -> Parts:
    kv, kind = random.choice(parts.kvs), random.choice(list(ValueType))
    return _with_kv(parts, kv, KV(kv.key, kind.value, _value(kind, b"", random)))


def _metadata_dropped(parts: Parts, random: Random) -> Parts:
    return _with_kv(parts, random.choice(parts.kvs), None)


def _metadata_added(parts: Parts, random: Random) -> Parts:
    kind = random.choice(list(ValueType))
    return replace(parts, kvs=(*parts.kvs, KV(random.choice(_KEYS), kind.value, _value(kind, b"", random))))


def _data(parts: Parts, random: Random) -> Parts:
    data = bytearray(parts.data)
    for _ in range(random.choice((1, 16, 1024))):
        start = random.randrange(max(1, len(data)))
        data[start : start + 4] = random.choice((random.randbytes(4), b"\xff" * 4, b"\x00\x7c\x00\x7c"))
    return replace(parts, data=bytes(data[: len(parts.data)]))


_KEYS = (
    "adapter.alora.invocation_tokens",
    "general.alignment",
    "general.sampling.top_k",
    "llama.expert_count",
    "llama.expert_used_count",
    "llama.attention.key_length",
    "llama.attention.sliding_window",
    "llama.rope.scaling.type",
    "llama.rope.scaling.factor",
    "llama.rope.dimension_sections",
    "llama.vocab_size",
    "split.count",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.precompiled_charsmap",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.add_space_prefix",
)

_WELL_FORMED: tuple[Callable[[Parts, Random], Parts], ...] = (
    _tensor_shape_or_type,
    _tensor_shape_or_type,
    _all_tensors_of_a_type,
    _tensor_name,
    _tensors_dropped,
    _tensors_shuffled,
    _metadata_value,
    _metadata_value,
    _metadata_value,
    _metadata_type,
    _metadata_dropped,
    _metadata_added,
    _data,
)


# --- files that a disk or a network could break


def _bytes_of_the_header(parts: Parts, random: Random) -> bytes:
    return _overwritten(parts.encoded(), len(parts.encoded()) - len(parts.data), random)


def _bytes_of_the_beginning(parts: Parts, random: Random) -> bytes:
    return _overwritten(parts.encoded(), 24, random)


def _cut(parts: Parts, random: Random) -> bytes:
    raw = parts.encoded()
    return raw[: random.choice((random.randrange(len(raw)), random.randrange(min(len(raw), 4096))))]


def _counts(parts: Parts, random: Random) -> bytes:
    tensors, kvs = len(parts.tensors), len(parts.kvs)
    counts = {"n_tensors": tensors, "n_kvs": kvs}
    which = random.choice(list(counts))
    changed = random.choice((counts[which] - 1, counts[which] + 1, *EXTREMES)) % 2**64
    return encode(parts.kvs, parts.tensors, parts.data, **{which: changed})  # type: ignore[arg-type]


def _tensor_info(parts: Parts, random: Random) -> bytes:
    if not parts.tensors:
        return parts.encoded()
    tensor = random.choice(parts.tensors)
    shape = list(tensor.shape)
    shape[random.randrange(len(shape))] = random.choice(EXTREMES)
    changed = random.choice(
        (
            replace(tensor, shape=tuple(shape)),
            replace(tensor, shape=tensor.shape * random.choice((0, 2, 3))),
            replace(tensor, type_id=random.choice(EXTREMES) % 2**32),
            replace(tensor, offset=random.choice((*EXTREMES, tensor.offset + 32, tensor.offset + 1)) % 2**64),
        )
    )
    return _with_tensor(parts, tensor, changed).encoded()


_BREAKING: tuple[Callable[[Parts, Random], bytes], ...] = (
    _bytes_of_the_header,
    _bytes_of_the_header,
    _bytes_of_the_beginning,
    _cut,
    _counts,
    _tensor_info,
    _tensor_info,
)


# --- how


def _nbytes(tensor: Tensor) -> int:
    kind = GGML_TYPES.get(tensor.type_id)
    return math.prod(tensor.shape) // kind.block_size * kind.type_size if kind else 0


def _with_tensor(parts: Parts, old: Tensor, new: Tensor) -> Parts:
    return replace(parts, tensors=tuple(new if tensor is old else tensor for tensor in parts.tensors))


def _with_kv(parts: Parts, old: KV, new: KV | None) -> Parts:
    changed = (new if kv is old else kv for kv in parts.kvs)
    return replace(parts, kvs=tuple(kv for kv in changed if kv))


def _overwritten(raw: bytes, size: int, random: Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(size)
        changed[at] = random.choice((random.randrange(256), changed[at] ^ (1 << random.randrange(8)), 0, 255))
    return bytes(changed)


def _value(kind: ValueType, raw: bytes, random: Random) -> bytes:
    """An encoded value of that type, made of ``raw`` where that is an array."""
    if kind.value == STRING:
        return text(random.choice(WORDS))
    if kind.value == ARRAY:
        return _array(raw, random)
    if SCALAR_FORMATS[kind] in "fd":
        return struct.pack(f"<{SCALAR_FORMATS[kind]}", random.choice(FLOATS[:4] + FLOATS[5:]))
    width = struct.calcsize(SCALAR_FORMATS[kind])
    return (random.choice(EXTREMES) % 2 ** (8 * width)).to_bytes(width, "little")


def _array(raw: bytes, random: Random) -> bytes:
    """An array of other elements, or, of numbers, a shorter one or one with another element."""
    element, count = struct.unpack_from("<IQ", raw) if raw else (STRING, 0)
    if element == STRING or random.random() < 0.3:
        kind = random.choice([kind for kind in ValueType if kind.value != ARRAY])
        count = random.choice((0, 1, 2, 6, 300))
        return struct.pack("<IQ", kind.value, count) + b"".join(_value(kind, b"", random) for _ in range(count))
    width = struct.calcsize(SCALAR_FORMATS[ValueType(element)])
    kept = random.choice((0, 1, count // 2, max(0, count - 1), count))
    values = bytearray(raw[12 : 12 + kept * width])
    if kept:
        at = random.randrange(kept) * width
        values[at : at + width] = random.randbytes(width)
    return struct.pack("<IQ", element, kept) + bytes(values)
