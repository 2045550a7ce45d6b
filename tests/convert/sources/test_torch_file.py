"""Files of torch.save are read as data: right where they hold tensors, refused in words and unexecuted where not."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgelora_convert.problems import Problems
from edgelora_convert.storage.archive import MAX_DIRECTORY_BYTES
from edgelora_convert.storage.pickle_machine import MAX_OPERATIONS
from edgelora_convert.storage.tensor_file import open_tensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import torch_files as tf

from edgelora.errors import ConversionError

FLOATS = tf.storage("0", "FloatStorage", 6)
SIX = np.arange(6, dtype="<f4")
PLAIN = tf.tensor(FLOATS, (2, 3), (3, 1))


def refusal(path: Path) -> str:
    with pytest.raises(ConversionError) as caught:
        open_tensors(path, Problems(str(path)))
    (problem,) = caught.value.problems
    return problem


def saved(path: Path, entries: dict[str, bytes]) -> Path:
    return tf.write_archive(path, tf.dictionary(entries), {"0": SIX.tobytes()})


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<f8"])
def test_values(tmp_path: Path, dtype: str) -> None:
    arrays = {"a": SIX.astype(dtype).reshape(2, 3), "scalar": np.array(7, dtype), "empty": np.zeros((0, 4), dtype)}
    found = open_tensors(tf.save_torch(tmp_path / "x.bin", arrays), Problems("x"))
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name].load(), values.astype(np.float32))
        assert found[name].load().dtype == np.float32


def test_bf16_and_whole_numbers(tmp_path: Path) -> None:
    arrays = {"b": np.array([0x3F80, 0xC000], "<u2"), "i": np.arange(3, dtype="<i8")}
    found = open_tensors(tf.save_torch(tmp_path / "x.bin", arrays), Problems("x"))
    assert found["b"].load().tolist() == [1.0, -2.0]
    assert found["i"].dtype == "I64"
    assert not found["i"].is_float


def test_views(tmp_path: Path) -> None:
    """Transposed, from the middle, every other column: all of one storage."""
    entries = {
        "t": tf.tensor(FLOATS, (3, 2), (1, 3)),
        "middle": tf.tensor(FLOATS, (2, 2), (3, 1), offset=1),
        "columns": tf.tensor(FLOATS, (2, 2), (3, 2)),
        "parameter": tf.call("torch._utils._rebuild_parameter", PLAIN, b"\x88", tf.ORDERED_DICT),
    }
    found = open_tensors(saved(tmp_path / "x.bin", entries), Problems("x"))
    whole = SIX.reshape(2, 3)
    expected = {"t": whole.T, "middle": whole[:, 1:], "columns": whole[:, ::2], "parameter": whole}
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].load(), values)


def test_a_state_dict_with_attributes(tmp_path: Path) -> None:
    """Module.state_dict() is an OrderedDict with versions as an attribute."""
    state = b"}" + tf.text("_metadata") + tf.ORDERED_DICT + tf.text("") + b"}ss"
    body = b"\x80\x02" + tf.ORDERED_DICT + b"(" + tf.text("w") + PLAIN + b"u" + state + b"b."
    path = tf.write_archive(tmp_path / "x.bin", body, {"0": SIX.tobytes()})
    assert open_tensors(path, Problems("x"))["w"].shape == (2, 3)


class Executes:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["value", "key", "attribute"])
def test_nothing_is_executed(tmp_path: Path, protocol: int, place: str) -> None:
    harmful = Executes(tmp_path / "executed")
    content = {"value": {"w": harmful}, "key": {(1, harmful): 1}, "attribute": harmful}[place]
    body = pickle.dumps(content, protocol)
    pickle.loads(body)
    assert harmful.mark.exists()  # it does work
    harmful.mark.unlink()
    problem = refusal(tf.write_archive(tmp_path / "x.bin", body, {}))
    assert "save the adapter again as safetensors" in problem
    assert not harmful.mark.exists()


CALLS = {
    "os.system": tf.call("os.system", tf.text("touch executed")),
    "eval": tf.call("builtins.eval", tf.text("1")),
    "getattr": tf.call("builtins.getattr", b"ctorch\nnn\n", tf.text("x")),
    "a result": tf.call("builtins.getattr", tf.ORDERED_DICT, tf.text("clear")) + b")R",
    "OrderedDict with arguments": tf.call("collections.OrderedDict", PLAIN),
    "no storage": tf.call(
        "torch._utils._rebuild_tensor_v2", tf.text("x"), tf.number(0), b"))", b"\x89", tf.ORDERED_DICT
    ),
    "few arguments": tf.call("torch._utils._rebuild_tensor_v2", FLOATS),
    "text as offset": tf.call("torch._utils._rebuild_tensor_v2", FLOATS, tf.text("0"), b"))"),
    "parameter of nothing": tf.call("torch._utils._rebuild_parameter", tf.text("x"), b"\x88", tf.ORDERED_DICT),
    "other rebuild": tf.call("torch._utils._rebuild_tensor_v3", FLOATS),
    "subclass": tf.call("torch._tensor._rebuild_from_type_v2", PLAIN),
    "INST": b"(ios\nsystem\n",
    "OBJ": b"(cos\nsystem\n" + tf.text("id") + b"o",
    "NEWOBJ": b"cos\nsystem\n)\x81",
    "NEWOBJ_EX": b"cos\nsystem\n)}\x92",
    "EXT1": b"\x82\x01",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pstorage\n",
    "STACK_GLOBAL of numbers": b"K\x01K\x02\x93",
    "bytes": b"C\x01a",
    "set": b"\x8f",
    "protocol 0 text": b"S'a'\n",
    "out of band": b"\x97",
    "a name alone": b"cos\nsystem\n",
    "a name with an unknown escape": b"cos\n\\open\n",
    "BUILD of a tensor": PLAIN + b"}b",
    "SETITEMS of a tuple": b")(" + tf.text("a") + b"Nu",
    "APPENDS to a dictionary": b"}(Ne",
    "odd items": b"}(" + tf.text("a") + b"u",
    "number as key": b"}K\x01Ns",
    "MARK in a pair": b"(\x85",
    "unwritten memo": b"h\x07",
    "storage of another kind": tf.tensor(b"(" + tf.text("module") + b"tQ", (1,), (1,)),
    "storage of text": tf.tensor(tf.text("0") + b"Q", (1,), (1,)),
    "storage type": tf.tensor(tf.storage("0", "UntypedStorage", 6), (1,), (1,)),
    "storage elsewhere": tf.tensor(tf.storage("../data.pkl", "FloatStorage", 6), (1,), (1,)),
    "storage too long": tf.tensor(tf.storage("0", "FloatStorage", 7), (1,), (1,)),
    "storage of negative length": tf.tensor(tf.storage("0", "FloatStorage", -1), (1,), (1,)),
    "tensor too long": tf.tensor(FLOATS, (2, 3), (3, 2)),
    "tensor too far": tf.tensor(FLOATS, (2, 3), (3, 1), offset=1),
    "negative offset": tf.tensor(FLOATS, (1,), (1,), offset=-1),
    "negative stride": tf.tensor(FLOATS, (2,), (-1,), offset=2),
    "negative shape": tf.tensor(FLOATS, (-2,), (1,)),
    "huge shape": tf.tensor(FLOATS, (2**70,), (0,)),
    "expanded": tf.tensor(FLOATS, (2**40, 2**20), (0, 0)),
    "other number of strides": tf.tensor(FLOATS, (2, 3), (1,)),
    "many dimensions": tf.tensor(FLOATS, (1,) * 1000, (1,) * 1000),
}


@pytest.mark.parametrize("name", CALLS)
def test_refused_values(tmp_path: Path, name: str) -> None:
    problem = refusal(saved(tmp_path / "x.bin", {"w": CALLS[name]}))
    assert "save the adapter again as safetensors" in problem
    assert len(problem) < 400


def test_the_refused_function_is_named(tmp_path: Path) -> None:
    assert "it calls os.system;" in refusal(saved(tmp_path / "x.bin", {"w": CALLS["os.system"]}))


@pytest.mark.parametrize(
    "pickle_bytes",
    [b"", b".", b"N.", b"(.", b"}", b"\x80\x02}}.", b"]."],
    ids=["empty", "nothing", "None", "mark", "endless", "two values", "list"],
)
def test_no_dictionary(tmp_path: Path, pickle_bytes: bytes) -> None:
    assert "pickle that is not read here" in refusal(tf.write_archive(tmp_path / "x.bin", pickle_bytes, {}))


@pytest.mark.parametrize(
    "bomb",
    [
        b"N" * (MAX_OPERATIONS + 10),
        b"(" * (MAX_OPERATIONS + 10),
        b"Nr\xff\xff\xff\xff.",  # a memo of 2^32 entries, for which pickle would make room
        b"\x8b\xff\xff\xff\x7f1",  # a number of 2^31 bytes
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa",  # text of 2^63 bytes
        b"}" + b")" + b"q\x00h\x00\x86" * 200 + b"Ns.",  # a key whose hash would take 2^200 steps
    ],
    ids=["operations", "marks", "memo", "number", "text", "hash"],
)
def test_bombs(tmp_path: Path, bomb: bytes) -> None:
    assert "pickle that is not read here" in refusal(tf.write_archive(tmp_path / "x.bin", bomb, {}))


def test_compressed_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    assert "compressed" in refusal(tmp_path / "x.bin")


def test_a_huge_pickle_is_not_read(tmp_path: Path) -> None:
    assert "too much" in refusal(tf.write_archive(tmp_path / "x.bin", b"\0" * (33 << 20), {}))


def test_a_huge_table_of_contents_is_not_read(tmp_path: Path) -> None:
    size = MAX_DIRECTORY_BYTES + 1
    with (tmp_path / "x.bin").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0))
    assert "table of contents is too large" in refusal(tmp_path / "x.bin")


def test_big_endian(tmp_path: Path) -> None:
    path = tf.write_archive(tmp_path / "x.bin", tf.dictionary({"w": PLAIN}), {"0": SIX.tobytes()}, byteorder=b"big")
    assert "big-endian" in refusal(path)


def test_another_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    assert "torch.save did not write it" in refusal(tmp_path / "x.bin")


OLD = {
    "legacy": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\0" * 100,
    "pickle": pickle.dumps({"a": list(range(100))}),
    "tar": b"\0" * 257 + b"ustar" + b"\0" * 250,
}


@pytest.mark.parametrize("kind", OLD)
def test_older_formats(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x.bin").write_bytes(OLD[kind])
    assert "save the adapter again as safetensors" in refusal(tmp_path / "x.bin")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    entries = {"a": PLAIN, "t": tf.tensor(FLOATS, (3, 2), (1, 3))}
    return saved(tmp_path_factory.mktemp("torch") / "sound.bin", entries)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage(sound: Path, data: st.DataObject) -> None:
    """Any bytes changed, in the archive or in its pickle: tensors that lie in the file, or one refusal."""
    damaged = sound.with_name("damaged.bin")
    if data.draw(st.booleans()):
        body = changed(zipfile.ZipFile(sound).read("archive/data.pkl"), data)
        tf.write_archive(damaged, body, {"0": SIX.tobytes()})
    else:
        damaged.write_bytes(changed(sound.read_bytes(), data))
    problems = Problems("x")
    try:
        found = open_tensors(damaged, problems)
    except ConversionError:
        assert len(problems.lines()) == 1
    else:
        for tensor in found.values():
            if tensor.is_float:
                assert tensor.load().shape == tensor.shape


def changed(content: bytes, data: st.DataObject) -> bytes:
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    damaged = bytearray(content[:cut])
    for _ in range(data.draw(st.integers(0, 6))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    return bytes(damaged)


@pytest.mark.train
def test_what_torch_writes(tmp_path: Path) -> None:
    """Values as torch.load gives them: dtypes, views of one storage, parameters, state dicts, every protocol."""
    import torch

    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "a": torch.randn(2, 3, dtype=torch.bfloat16),
        "half": torch.randn(3, dtype=torch.float16),
        "double": torch.randn(3, dtype=torch.float64),
        "t": whole.t(),
        "middle": whole[1:3, 2:5],
        "steps": whole[::2, ::3],
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "long": torch.arange(3),
    }
    linear = torch.nn.Linear(3, 2)
    for protocol in (2, 3, 4, 5):
        for content in (tensors, linear.state_dict()):
            torch.save(content, tmp_path / "x.bin", pickle_protocol=protocol)
            found = open_tensors(tmp_path / "x.bin", Problems("x"))
            assert list(found) == list(content)
            for name, tensor in content.items():
                assert found[name].shape == tuple(tensor.shape)
                if found[name].is_float:
                    np.testing.assert_array_equal(found[name].load(), tensor.detach().float().numpy())
    assert not found["weight"].strides


@pytest.mark.train
@pytest.mark.parametrize("what", ["float8", "module", "expanded", "legacy"])
def test_what_torch_writes_and_is_no_adapter(tmp_path: Path, what: str) -> None:
    import torch

    content = {
        "float8": {"w": torch.ones(2, dtype=torch.float8_e4m3fn)},
        "module": torch.nn.Linear(2, 2),
        "expanded": {"w": torch.ones(1).expand(3, 4)},
        "legacy": {"w": torch.ones(2)},
    }[what]
    torch.save(content, tmp_path / "x.bin", _use_new_zipfile_serialization=what != "legacy")
    assert "save the adapter again as safetensors" in refusal(tmp_path / "x.bin")
