"""Every family of models in a mixed batch, against llama.cpp's own adapters; which mode each gets is in the documents.

Run by ``scripts/test --train``: the tiny models are those of Transformers.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gguf import GGUFWriter, TokenType
from support.adapters import write_adapter
from support.checkout import ROOT
from support.engines import exact_config, greedy, mixed_logits, native_logits, opened, run, selection
from support.exports import CONTEXT, VOCAB, Pair, export, model_of, tied
from support.families import (
    balanced_experts,
    dense,
    experts,
    fused,
    gemma4,
    layer_norms,
    recurrent,
    state_space,
    vision,
)
from support.pool_cores import PoolCore, opened_pool

from edgelora.engine.probe import relative_difference
from edgelora.gguf.header import Header
from edgelora.gguf.reader import read_header
from edgelora.types import BASE, AdapterFile

pytestmark = [pytest.mark.train, pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]

ROOMS = {
    "dense": dense,
    "layer norms": layer_norms,
    "fused projections": fused,
    "experts": experts,
    "balanced experts": balanced_experts,
    "recurrent": recurrent,
    "state space": state_space,
    "Gemma 4": gemma4,
    "with vision": vision,
}
PAIRS = [pytest.param(room, pair, id=str(pair)) for room, module in ROOMS.items() for pair in module.PAIRS]
PROMPTS = [[1 + (7 * i + 3 * j) % (VOCAB - 1) for j in range(n)] for i, n in enumerate((80, 5, 9, 13))]
"""The first is longer than the sliding windows."""


def documented(room: str) -> tuple[str, str]:
    """The cells of the table in docs/engine.md for one kind of models: pooled, exclusive."""
    text = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {re.escape(room)} \|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    assert row, f"docs/engine.md has no row for {room}"
    return row[1], row[2]


def in_blocks(header: Header) -> tuple[str, ...]:
    """The matrices of the blocks, and stacks of them, by the ends of their names."""
    names = (
        re.sub(r"^blk\.\d+\.|\.weight$", "", name)
        for name, info in header.tensors.items()
        if name.startswith("blk.") and name.endswith(".weight") and len(info.shape) in (2, 3) and "norm" not in name
    )
    return tuple(dict.fromkeys(names))


def adapters_for(folder: Path, base: Path) -> list[AdapterFile]:
    """One for all matrices, one for attention or what comes instead, one for everything else, of different ranks."""
    names = in_blocks(read_header(base))
    attention = tuple(name for name in names if not name.startswith("ffn"))
    chosen = (names, attention, tuple(name for name in names if name not in attention))
    return [
        write_adapter(
            folder / f"{i}.gguf", base, rank=3 + 4 * i, targets=targets, seed=i, strength=0.5, dtype="float32"
        )
        for i, targets in enumerate(chosen)
        if targets
    ]


def why_exclusive(core: PoolCore) -> str:
    return "recurrent memory" if core._model.has_memory_of_its_own else core.self_test()


@pytest.mark.parametrize(("room", "pair"), PAIRS)
def test_a_mixed_batch_is_llama_cpps_own(tmp_path: Path, room: str, pair: Pair) -> None:
    base = export(tmp_path / "base.gguf", pair, model_of(pair))
    pooled, exclusive = documented(room)
    with opened_pool(base) as core:
        reason = why_exclusive(core)
        assert f"`{pair}`" in (exclusive if reason else pooled), f"{pair} is exclusive: {reason}" if reason else ""
        if reason:
            assert reason == "recurrent memory"
            return
        adapters = adapters_for(tmp_path, base)
        core.add(adapters)
        cases = [[(adapters[0], 1.0)], [(adapters[-1], 0.7)], [(adapters[1], 1.0), (adapters[0], -0.5)], []]
        mixed = mixed_logits(core, PROMPTS, [selection(*members) if members else BASE for members in cases])
        plain = native_logits(core, PROMPTS, [])
        for i, members in enumerate(cases):
            expected = native_logits(core, PROMPTS, members)[i]
            assert not members or relative_difference(expected, plain[i]) > 1e-3
            # wider where llama.cpp looks GELU up in a table of halves: a last bit changes the entry
            assert relative_difference(mixed[i], expected) < pair.tolerance


def with_vocabulary(writer: GGUFWriter, _kind: str) -> None:
    """A vocabulary of single letters instead of none."""
    add = GGUFWriter.add_string
    add(writer, "tokenizer.ggml.model", "llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *(chr(ord("0") + i) for i in range(VOCAB - 3))])
    writer.add_token_scores([0.0] * VOCAB)
    writer.add_token_types([TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.NORMAL] * (VOCAB - 3)])


@pytest.mark.parametrize("pair", [recurrent.PAIRS[-1], tied(dense.PAIRS[3])], ids=str)
def test_answers_beside_others_are_those_of_each_alone(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the whole engine, on a hybrid base, which is exclusive, and on a tied one, which is pooled."""
    monkeypatch.setattr(GGUFWriter, "add_tokenizer_model", with_vocabulary)
    base = export(tmp_path / "base.gguf", pair, model_of(pair))
    adapters = adapters_for(tmp_path, base)
    under = [selection((adapters[0], 1.0)), selection((adapters[-1], 0.7)), BASE, selection((adapters[1], 1.0))]
    config = exact_config(base, ctx=CONTEXT)
    requests = [greedy(f"r{i}", prompt, s, 24) for i, (prompt, s) in enumerate(zip(PROMPTS, under, strict=True))]
    alone = {}
    for request in requests:
        with opened(config, adapters) as core:
            alone |= run(core, request)
    with opened(config, adapters) as core:
        assert (core.base.mode == "exclusive") == ("recurrent" in core.base.mode_reason) == (pair.arch == "lfm2")
        assert run(core, *requests) == alone
    assert len(set(alone.values())) == len(alone)
