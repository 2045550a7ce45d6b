"""Damaged sources of any kind end in one error and leave nothing behind; what converts nevertheless is sound."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from edgelora_convert.convert import convert
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.peft_folders import Shape, peft_source, write_base

from edgelora.errors import ConversionError
from edgelora.gguf.fit import check_fit
from edgelora.gguf.reader import read_header
from edgelora.gguf.values import check_values

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = Shape(hidden=32, heads=2, kv_heads=1, ff=32, layers=1)
SOURCE = peft_source(SHAPE, rank=2)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        "peft_type",
        "r",
        "lora_alpha",
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "bias",
        "init_lora_weights",
        "base_model_name_or_path",
        "use_dora",
        "modules_to_save",
        "target_modules",
        "fan_in_fan_out",
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a base and a PEFT folder that examples may spoil."""
    root = tmp_path_factory.mktemp("damage")
    write_base(root / "base.gguf", SHAPE)
    SOURCE.save(root / "sound")
    return root


def converted_or_refused(root: Path) -> None:
    """Convert the folder ``p``: the result fits its base and is finite, or there is none."""
    out = root / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    base = root / "base.gguf"
    try:
        convert(root / "p", base, out / "adapter.gguf")
    except ConversionError:
        assert not list(out.iterdir())
    else:
        adapter = read_header(out / "adapter.gguf")
        assert check_fit(adapter, read_header(base)) == []
        assert check_values(adapter) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.dictionaries(fields, json_values, min_size=1, max_size=3))
def test_configurations(folder: Path, changes: dict[str, Any]) -> None:
    shutil.copytree(folder / "sound", folder / "p", dirs_exist_ok=True)
    (folder / "p" / "adapter_config.json").write_text(json.dumps({**SOURCE.config, **changes}))
    converted_or_refused(folder)


edit = st.tuples(st.integers(0, 1200), st.binary(min_size=1, max_size=8))


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=st.lists(edit, max_size=3), keep=st.none() | st.integers(0, 2000))
def test_weights(folder: Path, edits: list[tuple[int, bytes]], keep: int | None) -> None:
    shutil.copytree(folder / "sound", folder / "p", dirs_exist_ok=True)
    weights = folder / "p" / "adapter_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    for position, replacement in edits:
        damaged[position : position + len(replacement)] = replacement
    weights.write_bytes(damaged[:keep])
    converted_or_refused(folder)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(position=st.integers(0, 1), name=st.text(min_size=1, max_size=40))
def test_names(folder: Path, position: int, name: str) -> None:
    """A tensor with any name, and the pair around it incomplete."""
    source = peft_source(SHAPE, rank=2)
    values = source.tensors.pop(list(source.tensors)[position])
    source.tensors[name.encode("utf-8", "replace").decode()] = values
    source.save(folder / "p")
    converted_or_refused(folder)
