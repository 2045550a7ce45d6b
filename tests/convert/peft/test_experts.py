"""Factors of bare parameters: which parameter they belong to, and which expert."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.peft.changes import Adapter
from edgelora_convert.peft.experts import TargetParameters
from edgelora_convert.peft.fields import Fields
from edgelora_convert.peft.scaling import Scaling
from edgelora_convert.problems import Problems
from edgelora_convert.update import Kind, UnusableError
from support.changes import BaseWeight, Reading, change, folder_of, read, relative

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXPERTS = "model.layers.0.mlp.experts"
N, RANK, HIDDEN, FF = 3, 2, 5, 7
BOTH = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
LORA = {"peft_type": "LORA", "r": RANK, "lora_alpha": 6, "peft_version": "0.20.0"}
SIZES = {"gate_up_proj": (2 * FF, HIDDEN), "down_proj": (HIDDEN, FF)}


def rand(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def stored(module: str, n_out: int, n_in: int, rank: int = RANK, n: int = N) -> dict[str, np.ndarray]:
    return {f"{module}.lora_A.weight": rand(n * rank, n_in), f"{module}.lora_B.weight": rand(n_out, rank * n)}


def both() -> dict[str, np.ndarray]:
    return stored(f"{EXPERTS}.base_layer", *SIZES["gate_up_proj"]) | stored(EXPERTS, *SIZES["down_proj"])


def bases(**sizes: tuple[int, int]) -> dict[str, np.ndarray]:
    return {f"{EXPERTS}.{name}": np.zeros((N, *size)) for name, size in (sizes or SIZES).items()}


def reading_of(folder: Path, tensors: Mapping[str, np.ndarray], names: list[str], **fields: Any) -> Reading:
    options = {"moe_b_layout": fields.pop("moe_b_layout")} if "moe_b_layout" in fields else {}
    return read(folder_of(folder, tensors, **{**LORA, "target_parameters": names, **fields}), **options)


def expected(tensors: Mapping[str, np.ndarray], module: str, expert: int, scale: float = 6 / RANK) -> np.ndarray:
    a, b = tensors[f"{module}.lora_A.weight"], tensors[f"{module}.lora_B.weight"]
    return scale * np.einsum("or,ri->oi", b.reshape(len(b), -1, N)[:, :, expert], a.reshape(N, -1, a.shape[1])[expert])


def test_the_inner_factors_are_of_gate_and_up(tmp_path: Path) -> None:
    tensors = both()
    reading = reading_of(tmp_path, tensors, BOTH, alpha_pattern={"down_proj": 1})
    found = reading.changes(bases())
    assert len(found) == 2 * N
    for expert in range(N):
        gate_up, down = (found[f"{EXPERTS}.{name}", expert] for name in SIZES)
        assert relative(gate_up, expected(tensors, f"{EXPERTS}.base_layer", expert)) < 1e-6
        assert relative(down, expected(tensors, EXPERTS, expert, 1 / RANK)) < 1e-6
    assert (reading.problems, len(reading.warnings)) == ([], 1)


def test_one_parameter_is_the_one_that_is_named(tmp_path: Path) -> None:
    for name, size in SIZES.items():
        reading = reading_of(tmp_path, stored(EXPERTS, *size), [f"experts.{name}"])
        assert set(reading.changes(bases())) == {(f"{EXPERTS}.{name}", expert) for expert in range(N)}


def test_the_rank_of_one_expert_is_in_the_configuration(tmp_path: Path) -> None:
    tensors = stored(EXPERTS, *SIZES["down_proj"], rank=4)
    patterns = {"rank_pattern": {"experts.down_proj": 4}}
    found = reading_of(tmp_path, tensors, ["experts.down_proj"], **patterns).changes(bases())
    assert relative(found[f"{EXPERTS}.down_proj", 2], expected(tensors, EXPERTS, 2, 6 / 4)) < 1e-6
    (problem,) = reading_of(tmp_path, tensors, ["experts.down_proj"], r=5).problems
    assert "A has 12 rows, which is no multiple of the rank 5 in the configuration" in problem
    (problem,) = reading_of(tmp_path, stored(EXPERTS, 1, 1, 1, 5000), ["experts.down_proj"], r=1).problems
    assert "A has 5000 rows" in problem


def test_unsloth_laid_b_out_otherwise(tmp_path: Path) -> None:
    tensors = stored(EXPERTS, *SIZES["down_proj"])
    reading = reading_of(tmp_path / "peft", tensors, ["experts.down_proj"])
    peft = reading.changes(bases())
    assert "read as PEFT writes them; if Unsloth" in reading.warnings[0]
    name = f"{EXPERTS}.lora_B.weight"
    b = tensors[name].reshape(HIDDEN, RANK, N).swapaxes(1, 2).reshape(HIDDEN, -1)
    reading = reading_of(
        tmp_path / "legacy", {**tensors, name: b}, ["experts.down_proj"], moe_b_layout="unsloth-legacy"
    )
    legacy = reading.changes(bases())
    assert reading.warnings[0].endswith("read as Unsloth wrote them before 2026-09-17 (--moe-b-layout unsloth-legacy)")
    assert peft.keys() == legacy.keys()
    assert all(np.array_equal(values, legacy[place]) for place, values in peft.items())


def test_inputs_that_were_taken_for_outputs(tmp_path: Path) -> None:
    """PEFT before 0.19: A is over the outputs, B over the inputs."""
    tensors = stored(EXPERTS, FF, HIDDEN)
    found = reading_of(tmp_path, tensors, ["experts.down_proj"], peft_version="0.18.0").changes(bases())
    for expert in range(N):
        assert relative(found[f"{EXPERTS}.down_proj", expert], expected(tensors, EXPERTS, expert).T) < 1e-6


@pytest.mark.parametrize(
    ("arch", "version", "turned"),
    [
        ("qwen3moe", "0.21.0", False),
        ("qwen3moe", "0.19.0.dev0", False),
        ("qwen3moe", "0.18.1", True),
        ("qwen3moe", "", True),
        ("gpt-oss", "0.21.0", False),
        ("gpt-oss", "0.18.1", False),
        ("llama4", "0.21.0", True),
        ("llama4", "0.18.1", False),
    ],
)
def test_square_experts_are_known_by_their_architecture(tmp_path: Path, arch: str, version: str, turned: bool) -> None:
    tensors = stored(EXPERTS, FF, FF)
    reading = reading_of(tmp_path, tensors, ["experts.down_proj"], peft_version=version)
    update = reading.source.pending[1].complete(BaseWeight(np.zeros((FF, FF)), arch))
    change = update.scale * (update.b.load() @ update.a.load())
    right = expected(tensors, EXPERTS, 1)
    assert relative(change, right.T if turned else right) < 1e-6


def test_factors_without_a_parameter(tmp_path: Path) -> None:
    cases = {
        "holds factors for 2 of its parameters, target_parameters names 1": (both(), BOTH[:1]),
        "holds factors for 2 of its parameters, target_parameters names 0": (both(), ["other.weight"]),
        "holds factors for 1 of its parameters, target_parameters names 2": (stored(EXPERTS, HIDDEN, FF), BOTH),
        "belong to a and which to b is not known": (both(), ["experts.b", "experts.a"]),
    }
    for number, (reason, (tensors, names)) in enumerate(cases.items()):
        assert reason in "\n".join(reading_of(tmp_path / str(number), tensors, names).problems)


def test_many_names_in_deep_paths_take_no_time() -> None:
    names = [f"p{number}" for number in range(999)] + ["x.experts.p0"]
    modules = {"a." * 490 + f"{number}.experts": {} for number in range(20_000)}
    problems = Problems("source")
    fields = Fields({"target_parameters": names, "r": 1, "lora_alpha": 1}, problems)
    parameters = TargetParameters(Adapter(fields, modules, problems), Scaling.of(fields, "lora_alpha"))
    start = time.process_time()
    for module in modules:
        with pytest.raises(UnusableError, match="target_parameters names 999"):
            parameters.of(module)
    assert time.process_time() - start < 4


def test_ordinary_weights_named_as_parameters(tmp_path: Path) -> None:
    q, table = "model.layers.0.self_attn.q_proj", "model.embed_tokens"
    tensors = stored(q, 6, 5, n=1) | stored(table, 9, 5, n=1)
    reading = reading_of(
        tmp_path, tensors, ["q_proj.weight", "embed_tokens.weight"], alpha_pattern={"q_proj.weight": 2}
    )
    found = {update.module: update for update in reading.source.updates}
    assert (found[q].kind, found[table].kind) == (Kind.LINEAR, Kind.EMBEDDING)
    for module, scale in ((q, 1.0), (table, 3.0)):
        product = tensors[f"{module}.lora_B.weight"] @ tensors[f"{module}.lora_A.weight"]
        assert relative(change(found[module]), scale * product) < 1e-6
    assert reading.warnings == []
