"""Damaged sources end in exit code 1 and one message, and change nothing; what converts nevertheless is sound."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.peft.readers import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.peft_folders import PeftSource, Shape, peft_source, write_base

from edgelora.cli.boundary import guarded
from edgelora.cli.root import root as root_command
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
        "target_parameters",
        "trainable_token_indices",
        "layer_replication",
        "alora_invocation_tokens",
        "use_qalora",
        "qalora_group_size",
        "use_bdlora",
        "lora_bias",
        "lora_parameters",
        "peft_version",
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a base and a PEFT folder that examples may spoil."""
    root = tmp_path_factory.mktemp("damage")
    write_base(root / "base.gguf", SHAPE)
    SOURCE.save(root / "sound")
    return root


BEFORE = b"what was there before"


def converted_or_refused(root: Path, *options: str) -> None:
    """Convert the folder ``p`` from the command line, over a file: it is replaced by what fits, or stays."""
    out = root / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    target = out / "adapter.gguf"
    target.write_bytes(BEFORE)
    base = root / "base.gguf"
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = guarded(root_command, ["convert", str(root / "p"), "--base", str(base), "-o", str(target), *options])
    assert list(out.iterdir()) == [target]
    if code == 0:
        adapter = read_header(target)
        assert check_fit(adapter, read_header(base)) == []
        assert check_values(adapter) == []
        return
    assert (code, printed.getvalue(), target.read_bytes()) == (1, "", BEFORE)
    message = said.getvalue()
    assert message.startswith("edgelora: cannot convert ")
    assert "Traceback" not in message
    assert message.count("edgelora: ") == 1
    assert len(message) < 10_000


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


parameters = st.sampled_from(sorted({name for reader in READERS.values() for name in reader.parameters}))
shapes = st.lists(st.integers(0, 40), max_size=3).map(tuple)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(READERS)),
    tensors=st.dictionaries(parameters, shapes, min_size=1, max_size=5),
    changes=st.dictionaries(fields, json_values, max_size=2),
)
def test_types(folder: Path, kind: str, tensors: dict[str, tuple[int, ...]], changes: dict[str, Any]) -> None:
    """Every type of PEFT, with parameters that are its own or not, of any shape."""
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    made = {f"{module}.{name}": np.ones(shape, np.float32) for name, shape in tensors.items()}
    PeftSource(SHAPE, {**SOURCE.config, **changes, "peft_type": kind}, made).save(folder / "p")
    converted_or_refused(folder)
