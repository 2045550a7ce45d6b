"""The texts that ship with the package, and how they become tokens."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from support.tiny_llama import write_tiny_llama

from edgelora.merge.forward import SEQUENCE
from edgelora.merge.sequences import Part, sample, text_of
from edgelora.native.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTS: tuple[Part, ...] = ("calibration", "verification")


@pytest.fixture(scope="module")
def model(demo_base: Path) -> Iterator[Model]:
    with Model(demo_base) as model:
        yield model


def phrases(text: str) -> set[str]:
    return {phrase.strip() for phrase in re.split(r"[.!?:;]\s|\n", text) if len(phrase) > 20}


def test_the_parts_have_no_sentence_in_common() -> None:
    calibration, verification = (phrases(text_of(part)) for part in PARTS)
    assert len(calibration) > 100
    assert not calibration & verification


@pytest.mark.parametrize("part", PARTS)
def test_no_part_repeats_itself(part: Part) -> None:
    found = [phrase for phrase in re.split(r"[.!?:;]\s|\n", text_of(part)) if len(phrase) > 20]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("part", PARTS)
def test_sequences_are_pieces_of_the_text(model: Model, part: Part) -> None:
    found = sample(model, part, 2000)
    assert found.n_tokens >= 2000
    assert {len(sequence) for sequence in found.sequences} == {SEQUENCE}
    text = text_of(part).encode()
    starts = [text.find(b"".join(map(model.piece, sequence))) for sequence in found.sequences]
    assert min(starts) >= 0
    assert starts == sorted(set(starts))
    assert starts[-1] > len(text) // 2  # from all of it, not from its beginning


def test_what_is_too_long_is_all_there_is(model: Model) -> None:
    everything = sample(model, "verification", 10**6)
    assert 2000 < everything.n_tokens < 10**5
    assert len(set(everything.sequences)) == len(everything.sequences)


def test_a_base_without_a_vocabulary_gets_the_same_random_tokens_every_time(tmp_path: Path) -> None:
    with Model(write_tiny_llama(tmp_path / "tiny.gguf")) as model:
        found = sample(model, "verification", 600)
        assert found == sample(model, "verification", 600)
        assert found.sequences != sample(model, "calibration", 600).sequences
        assert found.n_tokens == 3 * SEQUENCE
        assert {token for sequence in found.sequences for token in sequence} == set(range(model.n_vocab))
        assert "pseudo-random" in found.source
