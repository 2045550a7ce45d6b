"""What baking in costs, estimated."""

from __future__ import annotations

import pytest

from edgelora.merge.trade import Pair, Trade, Weight, estimated

WEIGHTS = [Weight("token_embd.weight", 10**8), Weight("output.weight", 10**8), Weight("blk.0.ffn_up.weight", 10**8)]


def trade(merged: int = 10**8, adapter_bytes: int = 10**6, pair: Pair = Pair(4096, 64)) -> Trade:  # noqa: B008  # frozen
    after = [*WEIGHTS[:2], Weight("blk.0.ffn_up.weight", merged)]
    sizes = (3 * 10**8, adapter_bytes, 2 * 10**8 + merged)
    return estimated(*sizes, WEIGHTS, after, [pair], expected_kept=1.0)


def test_an_adapter_costs_its_bytes_and_more_where_its_rows_are_short() -> None:
    full, larger, short = trade(), trade(adapter_bytes=10**7), trade(pair=Pair(4096, 16))
    assert 1 > full.adapter_speed > larger.adapter_speed
    assert full.adapter_speed > short.adapter_speed


def test_a_merged_file_costs_what_is_read_of_it() -> None:
    assert trade().merged_speed == 1.0
    assert trade(merged=2 * 10**8).merged_speed == pytest.approx(2 / 3, abs=0.01)  # the embedding is only looked up


@pytest.mark.parametrize(
    ("merged", "better", "advice"),
    [(10**8, "merged", "Baking in wins"), (3 * 10**8, "adapter", "slower and larger: better use the adapter")],
)
def test_the_advice(merged: int, better: str, advice: str) -> None:
    found = trade(merged, 10**7)
    assert found.faster == better
    assert advice in found.advice(has_source=False)
    assert ("Better stay with that." in found.line) == (better == "adapter")
