"""Sources of every form with changed bytes: one error and nothing left behind, or an adapter that is sound."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from edgelora_convert.convert import convert
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from support.peft_folders import Shape, peft_source, write_base
from support.torch_files import save_torch

from edgelora.errors import ConversionError, EdgeloraError
from edgelora.gguf.fit import check_fit
from edgelora.gguf.reader import read_header
from edgelora.gguf.values import check_values
from edgelora.types import Progress

SHAPE = Shape(hidden=32, heads=2, kv_heads=1, ff=32, layers=1)
FORMS = ("peft", "bin", "mlx", "gguf")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and one adapter in every form."""
    root = tmp_path_factory.mktemp("forms")
    base = write_base(root / "base.gguf", SHAPE)
    source = peft_source(SHAPE, rank=2)
    source.save(root / "peft")
    (source.save(root / "bin") / "adapter_model.safetensors").unlink()
    save_torch(root / "bin" / "adapter_model.bin", source.tensors)
    (root / "mlx").mkdir()
    factors = {
        name.removeprefix("base_model.model.").replace(f".lora_{side}.weight", f".lora_{side.lower()}"): values.T.copy()
        for name, values in source.tensors.items()
        for side in "AB"
        if f".lora_{side}." in name
    }
    save_file(factors, root / "mlx" / "adapters.safetensors")
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": 2, "scale": 8.0, "dropout": 0.0}}
    (root / "mlx" / "adapter_config.json").write_text(json.dumps(config))
    (root / "gguf").mkdir()
    convert(root / "peft", base, root / "gguf" / "adapter.gguf")
    return root


def source_in(folder: Path) -> Path:
    """What is given as the source: the folder, or the GGUF in it."""
    return next(iter(folder.glob("*.gguf")), folder)


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_the_same_adapter(sound: Path, tmp_path: Path, form: str) -> None:
    convert(source_in(sound / form), sound / "base.gguf", tmp_path / "out.gguf")
    expected, found = read_header(sound / "gguf" / "adapter.gguf"), read_header(tmp_path / "out.gguf")
    for name, info in expected.tensors.items():
        values = (np.memmap(header.path, np.float16, "r", header.tensors[name].offset) for header in (expected, found))
        first, second = (array[: info.n_elements] for array in values)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes(sound: Path, tmp_path: Path, form: str, data: st.DataObject) -> None:
    folder, out = tmp_path / "damaged", tmp_path / "out"
    for used in (folder, out):
        shutil.rmtree(used, ignore_errors=True)
    shutil.copytree(sound / form, folder)
    out.mkdir()
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    path.write_bytes(changed(path.read_bytes(), data))
    try:
        convert(source_in(folder), sound / "base.gguf", out / "adapter.gguf")
    except ConversionError as error:
        refused = str(error)
    else:
        refused = ""
    assert all(line.isprintable() for line in refused.splitlines())
    if refused:
        assert list(out.iterdir()) == []
    else:
        adapter = read_header(out / "adapter.gguf")
        assert check_fit(adapter, read_header(sound / "base.gguf")) == []
        assert check_values(adapter) == []


@pytest.mark.parametrize("stage", ["converting", "measuring"])
@pytest.mark.parametrize("form", FORMS)
def test_files_that_vanish_meanwhile(sound: Path, tmp_path: Path, form: str, stage: str) -> None:
    folder, out = shutil.copytree(sound / form, tmp_path / "source"), tmp_path / "out.gguf"
    source = source_in(folder)
    weights = max(folder.iterdir(), key=lambda path: path.stat().st_size)

    def vanish(progress: Progress) -> None:
        if progress.stage == stage:
            weights.unlink(missing_ok=True)

    with pytest.raises(EdgeloraError, match=rf"(?s){weights.name}.*(it )?cannot be read \(No such file or directory\)"):
        convert(source, sound / "base.gguf", out, progress=vanish)
    assert not out.exists()


@pytest.mark.parametrize("form", FORMS)
def test_files_that_shrink_meanwhile(sound: Path, tmp_path: Path, form: str) -> None:
    folder, out = shutil.copytree(sound / form, tmp_path / "source"), tmp_path / "out.gguf"
    source = source_in(folder)
    weights = max(folder.iterdir(), key=lambda path: path.stat().st_size)

    def shrink(progress: Progress) -> None:
        os.truncate(weights, min(weights.stat().st_size, 900))

    with pytest.raises(EdgeloraError, match=r"it was cut off while it was read|the file ends within"):
        convert(source, sound / "base.gguf", out, progress=shrink)
    assert not out.exists()


def changed(content: bytes, data: st.DataObject) -> bytes:
    """Most changes are in the first bytes: headers are what a reader has to believe."""
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        end = data.draw(st.sampled_from([16, 400, len(damaged)]))
        damaged[data.draw(st.integers(0, min(end, len(damaged)) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.just(len(damaged)) | st.integers(0, len(damaged))) :]
    return bytes(damaged)
