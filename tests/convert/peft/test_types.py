"""The change that every type of PEFT stands for, written out with numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.peft.folder import read_peft
from edgelora_convert.peft.loha import column_products
from edgelora_convert.problems import Problems
from edgelora_convert.sources.find import find_source
from edgelora_convert.update import UnusableError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.changes import BaseWeight, folder_of, read, relative

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Q = "model.layers.0.self_attn.q_proj"
OUT, IN = 10, 12
WEIGHT = {Q: np.zeros((OUT, IN))}
LORA = {"peft_type": "LORA", "r": 4, "lora_alpha": 6}


def rand(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def change_of(folder: Path, tensors: Mapping[str, np.ndarray], **fields: Any) -> np.ndarray:
    """The one change that is read from the parameters of q_proj."""
    named = {name if "." in name else f"base_model.model.{Q}.{name}": values for name, values in tensors.items()}
    reading = read(folder_of(folder, named, **fields))
    assert reading.problems == []
    (found,) = reading.changes(WEIGHT).values()
    return found


def problems_of(folder: Path, tensors: Mapping[str, np.ndarray], **fields: Any) -> str:
    named = {name if "." in name else f"base_model.model.{Q}.{name}": values for name, values in tensors.items()}
    return "\n".join(read(folder_of(folder, named, **fields)).problems)


def test_lora(tmp_path: Path) -> None:
    a, b = rand(4, IN), rand(OUT, 4)
    stored = {"lora_A.weight": a, "lora_B.weight": b}
    named = {f"{Q}.{name}": values for name, values in stored.items()}
    assert relative(change_of(tmp_path, named, **LORA), 6 / 4 * b @ a) < 1e-6
    assert relative(change_of(tmp_path, named, **LORA, use_rslora=True), 6 / 2 * b @ a) < 1e-6
    assert relative(change_of(tmp_path, named, **LORA, alpha_pattern={"self_attn.q_proj": 1}), b @ a / 4) < 1e-6


def test_the_rank_of_the_weights_counts(tmp_path: Path) -> None:
    named = {f"{Q}.lora_A.weight": rand(4, IN), f"{Q}.lora_B.weight": rand(OUT, 4)}
    reading = read(folder_of(tmp_path, named, **{**LORA, "r": 8}))
    assert reading.source.updates[0].scale == 6 / 4
    (warning,) = reading.warnings
    assert warning.endswith("q_proj (layer 0): the configuration says rank 8, the weights have 4, which counts")


def test_blocks_on_the_diagonal(tmp_path: Path) -> None:
    a, b = rand(4, IN // 2), rand(OUT, 4)
    full = np.zeros((4, IN), np.float32)
    full[:2, : IN // 2], full[2:, IN // 2 :] = a[:2], a[2:]
    named = {f"{Q}.lora_A.weight": a, f"{Q}.lora_B.weight": b}
    blocks = {"target_modules_bd_a": ["q_proj"], "nblocks": 2}
    assert relative(change_of(tmp_path, named, **LORA, use_bdlora=blocks), 1.5 * b @ full) < 1e-6
    for wrong, reason in (({"nblocks": 3}, "not 3 blocks"), ({"target_modules_bd_b": ["q"]}, "in A and in B")):
        assert reason in problems_of(tmp_path, named, **LORA, use_bdlora={**blocks, **wrong})


def test_pooled_inputs_only_where_the_base_has_more(tmp_path: Path) -> None:
    named = {f"{Q}.lora_A.weight": rand(4, IN // 3), f"{Q}.lora_B.weight": rand(OUT, 4)}
    (pending,) = read(folder_of(tmp_path, named, **LORA, use_qalora=True, qalora_group_size=3)).source.pending
    assert pending.complete(BaseWeight(np.zeros((OUT, IN)))).a.shape == (4, IN)
    assert pending.complete(BaseWeight(np.zeros((OUT, IN // 3)))).a.shape == (4, IN // 3)


ADALORA = {"peft_type": "ADALORA", "init_r": 5, "lora_alpha": 6, "r": 8, "rank_pattern": {f"{Q}.lora_E": [True] * 4}}


def test_adalora(tmp_path: Path) -> None:
    a, b, e = rand(4, IN), rand(OUT, 4), rand(4, 1)
    tensors = {"lora_A": a, "lora_B": b, "lora_E": e}
    product = b @ (a * e)
    assert relative(change_of(tmp_path, tensors, **ADALORA), 6 * product / 5.00001) < 1e-6
    assert relative(change_of(tmp_path, tensors, **{**ADALORA, "lora_alpha": 0}), 4 * product / 5.00001) < 1e-6
    saved = {**tensors, "ranknum": np.full(1, 3, np.float32)}
    assert relative(change_of(tmp_path, saved, **ADALORA), 6 * product / 3.00001) < 1e-6
    assert "its lora_E [3, 1] must be [4, 1]" in problems_of(tmp_path, {**tensors, "lora_E": rand(3, 1)}, **ADALORA)


LOHA = {"peft_type": "LOHA", "r": 2, "alpha": 3}


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_loha(tmp_path: Path, rank: int) -> None:
    a1, b1, a2, b2 = rand(OUT, rank), rand(rank, IN), rand(OUT, rank) + 1, rand(rank, IN) - 1
    tensors = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2}
    fields = {**LOHA, "r": rank}
    assert relative(change_of(tmp_path, tensors, **fields), 3 / rank * (a1 @ b1) * (a2 @ b2)) < 1e-6
    (update,) = read(tmp_path).source.updates
    assert update.rank == min(rank**2, OUT)


def test_loha_refusals(tmp_path: Path) -> None:
    tensors = {"hada_w1_a": rand(OUT, 2), "hada_w1_b": rand(2, IN), "hada_w2_a": rand(OUT, 2)}
    assert "its hada_w2_b is missing" in problems_of(tmp_path, tensors, **LOHA)
    other = {**tensors, "hada_w2_b": rand(2, IN + 1)}
    assert f"its two products are [{OUT}, {IN}] and [{OUT}, {IN + 1}]" in problems_of(tmp_path, other, **LOHA)
    convolution = {**other, "hada_t1": rand(2, 2, 3, 3)}
    assert "it is a convolution" in problems_of(tmp_path, convolution, **LOHA)


@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_products_of_entries_are_products_of_columns(data: Any, n_out: int, n_in: int, r1: int, r2: int) -> None:
    def draw(*shape: int) -> np.ndarray:
        return data.draw(hnp.arrays(np.float64, shape, elements=st.integers(-9, 9)))

    a1, b1, a2, b2 = draw(n_out, r1), draw(r1, n_in), draw(n_out, r2), draw(r2, n_in)
    low_rank = column_products(a1, a2) @ column_products(b1.T, b2.T).T
    assert np.array_equal(low_rank, (a1 @ b1) * (a2 @ b2))


LOKR = {"peft_type": "LOKR", "r": 2, "alpha": 3}
FIRST = {"whole": {"lokr_w1": rand(2, 3)}, "factors": {"lokr_w1_a": rand(2, 1), "lokr_w1_b": rand(1, 3)}}
FIRST["many"] = {"lokr_w1_a": rand(2, 4), "lokr_w1_b": rand(4, 3)}
SECOND = {"whole": {"lokr_w2": rand(5, 4)}, "factors": {"lokr_w2_a": rand(5, 2), "lokr_w2_b": rand(2, 4)}}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_lokr(tmp_path: Path, first: str, second: str) -> None:
    tensors = FIRST[first] | SECOND[second]
    w1, w2 = (
        tensors[name] if name in tensors else tensors[f"{name}_a"] @ tensors[f"{name}_b"]
        for name in ("lokr_w1", "lokr_w2")
    )
    rank = {"whole": 2, "factors": 1, "many": 4}[first]
    found = change_of(tmp_path, tensors, **LOKR)
    assert relative(found, 3 / rank * np.kron(w1, w2)) < 1e-6
    (update,) = read(tmp_path).source.updates
    assert update.rank == {"whole": 2, "factors": 1, "many": 2}[first] * {"whole": 4, "factors": 2}[second]


@pytest.mark.parametrize("w2", [{"lokr_w2": rand(64, 64)}, {"lokr_w2_a": rand(64, 70), "lokr_w2_b": rand(70, 64)}])
def test_lokr_of_full_rank_and_large_is_for_a_merge(tmp_path: Path, w2: dict[str, np.ndarray]) -> None:
    tensors = {f"{Q}.{name}": values for name, values in {"lokr_w1": rand(32, 32), **w2}.items()}
    source = read(folder_of(tmp_path, tensors, **LOKR)).source
    assert "has the full rank 2048" in source.only_merged["rank"]
    assert "save_as_lora" in source.only_merged["rank"]
    assert len(source.updates) == 1
    low = {f"{Q}.lokr_w1": rand(32, 32), f"{Q}.lokr_w2_a": rand(64, 2), f"{Q}.lokr_w2_b": rand(2, 64)}
    assert read(folder_of(tmp_path, low, **LOKR)).source.only_merged == {}


def test_a_large_lora_of_full_rank_is_none_of_it(tmp_path: Path) -> None:
    tensors = {f"{Q}.lora_A.weight": rand(1100, 1100), f"{Q}.lora_B.weight": rand(1100, 1100)}
    assert read(folder_of(tmp_path, tensors, **{**LORA, "r": 1100})).source.only_merged == {}


def test_the_size_of_many_trained_tokens_is_said(tmp_path: Path) -> None:
    table = "model.embed_tokens"
    tensors = {f"base_model.model.{table}.trainable_tokens_delta": rand(500, IN)}
    fields = {"peft_type": "TRAINABLE_TOKENS", "token_indices": list(range(500))}
    problems, warnings = Problems("source"), Problems("source")
    found = find_source(folder_of(tmp_path, tensors, **fields), problems)
    (pending,) = read_peft(found, problems, warnings).pending
    pending.complete(BaseWeight(np.zeros((60_000, IN), np.float32)))
    assert warnings.lines() == []
    assert pending.complete(BaseWeight(np.zeros((150_000, IN), np.float32))).rank == 500
    (warning,) = warnings.lines()
    assert warning.startswith("its 500 trained tokens take about 150 MB in F16")
    with pytest.raises(UnusableError, match="would take about 600 MB in F16"):
        pending.complete(BaseWeight(np.zeros((600_000, IN), np.float32)))


VERA = {"peft_type": "VERA", "r": 4, "save_projection": True}


def test_vera(tmp_path: Path) -> None:
    a, b, of_in, of_out = rand(4, IN + 3), rand(OUT + 2, 4), rand(4), rand(OUT)
    shared = {"base_model.vera_A": a, "base_model.vera_B": b}
    tensors = {"vera_lambda_d": of_in, "vera_lambda_b": of_out, **shared}
    expected = (of_out[:, None] * b[:OUT]) @ (of_in[:, None] * a[:, :IN])
    assert relative(change_of(tmp_path, tensors, **VERA), expected) < 1e-6
    (pending,) = read(tmp_path).source.pending
    with pytest.raises(UnusableError, match="99 inputs here, the projections only 15"):
        pending.complete(BaseWeight(np.zeros((OUT, 99))))
    assert "do not fit projections of rank 4" in problems_of(tmp_path, {**tensors, "vera_lambda_d": rand(5)}, **VERA)
    unsaved = {"vera_lambda_d": of_in, "vera_lambda_b": of_out}
    assert "vera_A and vera_B were not saved" in problems_of(tmp_path, unsaved, **VERA)


MISS = {"peft_type": "MISS", "r": 4, "init_weights": True}


@pytest.mark.parametrize("rank", [1, 4, 5, 12])
def test_miss(tmp_path: Path, rank: int) -> None:
    block = rand(rank, OUT)
    expected = np.stack([block[column % rank] for column in range(IN)], axis=1)
    assert relative(change_of(tmp_path, {"miss_block": block}, **MISS), expected) < 1e-6
    mini = block[:, :5]
    repeated = np.stack([np.tile(mini[column % rank], 2) for column in range(IN)], axis=1)
    assert relative(change_of(tmp_path, {"miss_block": mini}, **{**MISS, "init_weights": "mini"}), repeated) < 1e-6


def test_miss_refusals(tmp_path: Path) -> None:
    fields = {**MISS, "init_weights": "bat"}
    assert "MiSS adapter of the kind bat" in problems_of(tmp_path, {"miss_block": rand(3, 4, 4)}, **fields)
    for mode, width in ((True, OUT - 1), ("mini", 3)):
        named = {f"{Q}.miss_block": rand(4, width)}
        (pending,) = read(folder_of(tmp_path, named, **{**MISS, "init_weights": mode})).source.pending
        with pytest.raises(UnusableError, match=f"the base has {OUT} outputs here"):
            pending.complete(BaseWeight(np.zeros((OUT, IN))))


TOKENS = {"peft_type": "TRAINABLE_TOKENS", "token_indices": [7, 0, 3]}
TABLE = {"model.embed_tokens": rand(9, IN), "lm_head": rand(9, IN) + 1}


@pytest.mark.parametrize("module", TABLE)
def test_token_rows_replace_those_of_the_base(tmp_path: Path, module: str) -> None:
    new = rand(3, IN)
    named = {f"base_model.model.{module}.trainable_tokens_delta": new}
    (found,) = read(folder_of(tmp_path, named, **TOKENS)).changes(TABLE).values()
    expected = TABLE[module].copy()
    expected[[7, 0, 3]] = new
    assert np.allclose(TABLE[module] + found, expected, atol=1e-6)


def test_token_rows_beside_a_lora(tmp_path: Path) -> None:
    named = {
        f"{module}.token_adapter.trainable_tokens_delta": rand(n, IN)
        for module, n in (("model.embed_tokens", 2), ("lm_head", 1))
    }
    reading = read(folder_of(tmp_path, named, **LORA, trainable_token_indices={"embed_tokens": [1, 2], "lm_head": [8]}))
    found = reading.changes(TABLE)
    assert {place[0]: sorted(np.flatnonzero(np.abs(rows).sum(1))) for place, rows in found.items()} == {
        "model.embed_tokens": [1, 2],
        "lm_head": [8],
    }


def test_token_rows_must_be_there(tmp_path: Path) -> None:
    named = {f"{Q}.lora_A.weight": rand(4, IN), f"{Q}.lora_B.weight": rand(OUT, 4)}
    (problem,) = read(folder_of(tmp_path, named, **LORA, trainable_token_indices=[1])).problems
    assert "token embeddings were trained beside it (trainable_token_indices), which the file does not hold" in problem


@pytest.mark.parametrize(
    "indices", [[1, 2], [1, 2, 2], None, [1, 2, -3], [1, 2, "3"], {"x": 1}, [1, 2, 2**31], [True, 2, 3]]
)
def test_token_numbers_must_be_right(tmp_path: Path, indices: object) -> None:
    named = {"model.embed_tokens.trainable_tokens_delta": rand(3, IN)}
    assert read(folder_of(tmp_path, named, **{**TOKENS, "token_indices": indices})).problems


def test_token_rows_the_base_lacks(tmp_path: Path) -> None:
    named = {"model.embed_tokens.trainable_tokens_delta": rand(3, IN)}
    (pending,) = read(folder_of(tmp_path, named, **TOKENS)).source.pending
    with pytest.raises(UnusableError, match="it trains token 7, and the base has only 7"):
        pending.complete(BaseWeight(np.zeros((7, IN))))
    with pytest.raises(UnusableError, match=f"its rows have {IN} values, those of the base 4"):
        pending.complete(BaseWeight(np.zeros((9, 4))))


def test_invocation_tokens_are_kept(tmp_path: Path) -> None:
    named = {f"{Q}.lora_A.weight": rand(4, IN), f"{Q}.lora_B.weight": rand(OUT, 4)}
    assert read(folder_of(tmp_path, named, **LORA, alora_invocation_tokens=[5, 6])).source.invocation_tokens == (5, 6)


def test_what_is_too_large_becomes_infinite_without_a_warning(tmp_path: Path) -> None:
    huge = np.full((2, 2), 3e38, np.float32)
    tensors = {f"{Q}.hada_w{number}_{side}": huge for number in (1, 2) for side in "ab"}
    (update,) = read(folder_of(tmp_path, tensors, **LOHA)).source.updates
    assert np.isinf(update.a.load()).any() or np.isinf(update.b.load()).any()
