"""Files that must be refused with one clear error, and never with anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import raw_gguf as raw
from support.raw_gguf import ARCH, ARRAY, KV, STRING, U32, Tensor, encode, text, u32, u64

from edgelora.errors import GGUFError
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.fit import check_fit
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 2**64 - 1
MATRIX = Tensor("t", (4, 2))
DATA = bytes(32)
REFUSED = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "Git LFS pointer"),
    "a pickle": (b"PK\x03\x04" + bytes(60), "PyTorch"),
    "text": (b"hello world, this is no model at all", "does not start with GGUF"),
    "empty": (b"", "is empty"),
    "too short": (b"GGUF\x03\x00", "cut off"),
    "big-endian": (b"GGUF" + (3).to_bytes(4, "big") + bytes(16), "big-endian"),
    "version 1": (encode(version=1), "version 1"),
    "huge number of tensors": (encode(n_tensors=HUGE), "tensors, more than fit"),
    "huge number of values": (encode(n_kvs=HUGE), "metadata values, more than fit"),
    "one value too many": (encode(n_kvs=2), "metadata"),
    "long key": (encode((KV("k", STRING, b""),))[:24] + u64(HUGE) + b"key" + bytes(20), "cut off"),
    "duplicate key": (encode((ARCH, ARCH)), "occurs twice"),
    "empty key": (encode((KV("", U32, u32(0)),)), "key is empty"),
    "key that is no text": (encode((KV(b"\xff", U32, u32(0)),)), "not UTF-8"),
    "unknown value type": (encode((KV("k", 13, bytes(8)),)), "unknown type 13"),
    "unknown element type": (encode((KV("k", ARRAY, u32(99) + u64(0)),)), "unknown type 99"),
    "array of arrays": (encode((KV("k", ARRAY, u32(ARRAY) + u64(0)),)), "array of arrays"),
    "huge array": (encode((KV("k", ARRAY, u32(U32) + u64(2**62)),)), "more than fit"),
    "huge array of strings": (encode((KV("k", ARRAY, u32(STRING) + u64(2**61)),)), "more than fit"),
    "string beyond the end": (encode((KV("k", ARRAY, u32(STRING) + u64(1) + u64(2**63) + bytes(8)),)), "cut off"),
    "alignment 0": (encode((KV("general.alignment", U32, u32(0)),)), "power of two"),
    "alignment 24": (encode((KV("general.alignment", U32, u32(24)),)), "power of two"),
    "alignment as text": (encode((KV("general.alignment", STRING, text("32")),)), "power of two"),
    "part of a split": (encode((KV("split.count", U32, u32(3)),)), "one of 3 parts"),
    "long tensor name": (encode(tensors=(Tensor("n" * 64, (4, 2)),), data=DATA), "longer than 63"),
    "empty tensor name": (encode(tensors=(Tensor("", (4, 2)),), data=DATA), "is empty or longer"),
    "duplicate tensor": (encode(tensors=(MATRIX, Tensor("t", (4, 2), offset=32)), data=bytes(64)), "'t' occurs twice"),
    "no dimensions": (encode(tensors=(Tensor("t", ()),), data=DATA), "0 dimensions"),
    "5 dimensions": (encode(tensors=(Tensor("t", (1,) * 5),), data=DATA), "5 dimensions"),
    "zero extent": (encode(tensors=(Tensor("t", (4, 0)),), data=DATA), "impossible shape"),
    "overflowing shape": (encode(tensors=(Tensor("t", (2**33, 2**33)),), data=DATA), "impossible shape"),
    "removed type": (encode(tensors=(Tensor("t", (4, 2), 4),), data=DATA), "unknown type 4"),
    "future type": (encode(tensors=(Tensor("t", (4, 2), 1000),), data=DATA), "unknown type 1000"),
    "broken blocks": (encode(tensors=(Tensor("t", (33, 1), 8),), data=bytes(64)), "no whole Q8_0 blocks"),
    "unexpected offset": (encode(tensors=(Tensor("t", (4, 2), offset=32),), data=bytes(64)), "starts at offset 32"),
    "cut data": (encode(tensors=(MATRIX,), data=bytes(31)), "the file is cut off: tensor 't'"),
    "huge tensor": (encode(tensors=(Tensor("t", (2**40, 2**20)),), data=DATA), "the file is cut off"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_reason(tmp_path: Path, case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises(GGUFError, match=reason) as caught:
        read_header(raw.write(tmp_path / "bad.gguf", content))
    assert "bad.gguf" in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="no such file"):
        read_header(tmp_path / "none.gguf")
    with pytest.raises(GGUFError, match="this is a folder"):
        read_header(tmp_path)


ALPHA = KV("adapter.lora.alpha", raw.F32, bytes(4))
TOKENS = KV("tokenizer.ggml.tokens", ARRAY, u32(STRING) + u64(3) + text("a") + text("b") + text("c"))
SIZES = tuple(
    KV(f"llama.{key}", U32, u32(value))
    for key, value in (("block_count", 1), ("embedding_length", 4), ("attention.head_count", 2))
)
VALID = encode((ARCH, ALPHA, TOKENS, *SIZES), (MATRIX, Tensor("u", (32, 1), 8, 32)), bytes(66))
HEADER_BYTES = len(VALID) - 66

edits = st.lists(st.tuples(st.integers(0, HEADER_BYTES - 1), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=edits, keep=st.one_of(st.none(), st.integers(0, len(VALID))))
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes]], keep: int | None
) -> None:
    """Whatever bytes change or are missing: a header or a GGUFError, and so for all that reads headers.

    Something slow or large would run into the time limit of every test.
    """
    damaged = bytearray(VALID)
    for position, replacement in edits:
        damaged[position : position + len(replacement)] = replacement
    path = raw.write(tmp_path_factory.getbasetemp() / "damaged.gguf", bytes(damaged[:keep]))
    try:
        header = read_header(path)
        for value in header.metadata.values():
            if not isinstance(value, int | float | str):
                list(value)
        check_fit(header, header)
        BaseFacts.of(header)
    except GGUFError:
        return


def test_every_cut_is_refused(tmp_path: Path) -> None:
    for length in range(len(VALID)):
        with pytest.raises(GGUFError):
            read_header(raw.write(tmp_path / "cut.gguf", VALID[:length]))


def test_the_undamaged_file_is_fine(tmp_path: Path) -> None:
    assert BaseFacts.of(read_header(raw.write(tmp_path / "ok.gguf", VALID))).n_embd == 4
