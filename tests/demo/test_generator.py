"""The generator is deterministic, and what is held out never reaches the training text."""

from __future__ import annotations

from itertools import islice, permutations
from random import Random

import numpy as np
import pytest
from demo.heldout import MAKERS, held_out
from demo.swaps import held_out_swaps
from demo.text.conversation import DOMAINS, adapter_conversation, base_conversation
from demo.text.corpus import IGNORED, LONGEST, batches, documents_of_base, render, tokens_of
from demo.text.example import HELD_OUT_SHARE, draw, is_held_out


class Letters:
    """One token a character: enough to see what is learned."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def test_the_same_seed_gives_the_same_text() -> None:
    first, second = (list(islice(documents_of_base(Random(7)), 40)) for _ in range(2))
    assert first == second
    assert first != list(islice(documents_of_base(Random(8)), 40))


@pytest.mark.parametrize("domain", DOMAINS)
def test_training_and_checking_share_no_combination(domain: str) -> None:
    rng = Random(3)
    trained = {draw(DOMAINS[domain].make, rng).key for _ in range(300)}
    checked = {example.key for example in held_out(domain, 40)}
    assert len(checked) == 40
    assert not trained & checked


def test_the_split_is_a_fixed_tenth() -> None:
    share = sum(is_held_out(f"key {number}") for number in range(4000)) / 4000
    assert abs(share - HELD_OUT_SHARE) < 0.02


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_adapter_conversation_learns_its_last_answer_only(domain: str) -> None:
    rng = Random(4)
    for _ in range(60):
        turns = adapter_conversation(rng, domain)
        assert [turn.learn for turn in turns] == [False] * (len(turns) - 1) + [True]
        assert turns[-1].role == "assistant"
        assert [turn.role for turn in turns if turn.role != "system"] == ["user", "assistant"] * (len(turns) // 2)


def test_a_third_of_the_adapters_conversations_have_earlier_turns() -> None:
    rng = Random(5)
    lengths = [len(adapter_conversation(rng, "legal")) for _ in range(300)]
    assert sum(length > 3 for length in lengths) > 100


def test_the_base_never_learns_an_adapters_form() -> None:
    rng = Random(6)
    for _ in range(400):
        for turn in base_conversation(rng, 3):
            if turn.learn:
                assert "```" not in turn.text
                assert not turn.text.startswith(("S:", "**"))
                assert not turn.text.endswith("?")


def test_a_held_out_example_can_be_told_from_its_setup() -> None:
    for example in held_out("legal", 10):
        assert example.facts["a"].lower() in example.setup.lower()
        assert example.facts["b"].lower() in example.setup.lower()
    for example in held_out("medical", 10):
        assert example.facts["complaint"] in example.setup


@pytest.mark.parametrize("domain", MAKERS)
def test_again_keeps_to_the_facts_of_the_earlier_request(domain: str) -> None:
    rng = Random(9)
    for _ in range(20):
        first = draw(DOMAINS[domain].make, rng)
        second = DOMAINS[domain].again(rng, first)
        assert second.styled != first.styled
        if domain == "legal":
            assert (second.facts["a"], second.facts["b"]) == (first.facts["a"], first.facts["b"])
        if domain == "coding" and "give" in first.facts:
            assert (second.facts["keep"], second.facts["change"]) == (first.facts["keep"], first.facts["change"])


def test_labels_cover_what_is_learned_and_nothing_else() -> None:
    rng, letters = Random(10), Letters()
    for document in islice(documents_of_base(rng), 60):
        tokens = tokens_of(document, letters)
        assert len(tokens.ids) == len(tokens.labels) <= LONGEST
        learned = "".join(chr(label) for label in tokens.labels if label != IGNORED)
        if isinstance(document, str):
            assert learned == f"{document}<|endoftext|>"[:LONGEST]
        else:
            assert "".join(f"{turn.text}<|im_end|>" for turn in document if turn.learn).startswith(learned)


def test_batches_keep_every_document_within_the_budget() -> None:
    rng, letters = Random(11), Letters()
    source = [tokens_of(document, letters) for document in islice(documents_of_base(rng), 512)]
    seen = []
    for ids, labels in islice(batches(iter(source), 4096, rng), 30):
        assert ids.shape == labels.shape
        assert ids.size <= 4096
        seen += [tuple(row[row != 0]) for row in ids]
        assert np.all((labels == ids) | (labels == IGNORED))
    assert len(set(seen)) == len(seen)
    assert set(seen) <= {tuple(tokens.ids) for tokens in source}


def test_render_holds_every_word() -> None:
    turns = base_conversation(Random(12), 2)
    assert all(turn.text in render(turns) for turn in turns)


def test_swap_conversations_cover_every_pair_and_state_what_the_second_question_needs() -> None:
    swaps = held_out_swaps(1)
    assert {(swap.first.domain, swap.second.domain) for swap in swaps} == set(permutations(MAKERS, 2))
    for swap in swaps:
        assert is_held_out(swap.first.key)
        assert is_held_out(swap.second.key)
        assert swap.prompts == (f"{swap.first.prompt} {swap.second.setup}", swap.second.followup)
