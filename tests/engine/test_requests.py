"""Requests among others: clients, deadlines, a full queue, the background."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import drain, exact_config, greedy, opened, pool_bytes, run, selection, texts

from edgelora.engine.core import EngineCore
from edgelora.errors import DeadlineError, QueueFullError, UsageError
from edgelora.types import BASE, AdapterFile, EngineConfig, Failed, Finished, Request, Selection, Started, Token

PROMPT = list(range(300, 330))


@pytest.fixture
def adapter(tmp_path: Path, f32_base: Path) -> AdapterFile:
    return write_adapter(tmp_path / "a.gguf", f32_base, seed=1)


def ends(core: EngineCore) -> dict[str, Finished | Failed]:
    return {event.request: event for event in drain(core) if isinstance(event, Finished | Failed)}


def prefill(id_: str, tokens: list[int], under: Selection = BASE) -> Request:
    return replace(greedy(id_, tokens, under, 0), background=True)


# --- clients and the queue


def test_a_client_with_many_requests_does_not_hold_up_another(f32_base: Path) -> None:
    with opened(exact_config(f32_base, max_sequences=2)) as core:
        for i in range(6):
            core.submit(replace(greedy(f"many{i}", PROMPT[i:], BASE, 4), client="many"))
        core.submit(replace(greedy("one", PROMPT, BASE, 4), client="one"))
        started = [event.request for event in drain(core) if isinstance(event, Started)]
    assert started.index("one") == 1


def test_more_than_may_wait_are_refused(f32_base: Path) -> None:
    with opened(exact_config(f32_base, max_sequences=1, max_waiting=2)) as core:
        for i in range(5):
            core.submit(greedy(f"r{i}", PROMPT[i:], BASE, 3))
        end = ends(core)
        assert [name for name, event in end.items() if isinstance(event, Failed)] == ["r3", "r4"]
        refused = end["r4"]
        assert isinstance(refused, Failed)
        assert isinstance(refused.error, QueueFullError)
        assert "3 requests are waiting" in refused.error.message
        assert core.stats().waiting == 0
        assert run(core, greedy("again", PROMPT, BASE, 3))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_deadline_is_a_number_of_seconds(seconds: float) -> None:
    with pytest.raises(UsageError, match="deadline_s"):
        Request("x", (1,), deadline_s=seconds)


def test_at_least_one_may_wait(f32_base: Path) -> None:
    with pytest.raises(UsageError, match="max_waiting"):
        EngineConfig(f32_base, max_waiting=0)


# --- deadlines


def test_a_deadline_ends_a_running_answer_within_one_step(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        expected = run(core, greedy("x", PROMPT, BASE, 100))["x"]
        core.submit(replace(greedy("x", PROMPT, BASE, 100), deadline_s=5.0))
        events = [event for _ in range(6) for event in core.step()]
        (running,) = core._scheduler.running
        running.submitted -= 5.0
        core._scheduler._deadlines[0] = (running.deadline, 0, running)
        events += core.step()
        assert not core.busy
        assert run(core, greedy("y", PROMPT, BASE, 100))["y"] == expected
    said = "".join(event.text for event in events if isinstance(event, Token))
    assert said
    assert expected.startswith(said.rstrip("�"))
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, DeadlineError)
    assert "within 5 s" in events[-1].error.message


def test_a_deadline_ends_what_waits_within_one_step(f32_base: Path, adapter: AdapterFile) -> None:
    under = selection((adapter, 1.0))
    with opened(exact_config(f32_base, max_sequences=1), [adapter]) as core:
        core.submit(greedy("running", PROMPT, under, 30))
        core.step()
        core.submit(replace(greedy("hurried", PROMPT, under, 4), deadline_s=0.01))
        time.sleep(0.02)
        (failed,) = [event for event in core.step() if isinstance(event, Failed)]
        assert (failed.request, type(failed.error)) == ("hurried", DeadlineError)
        assert isinstance(ends(core)["running"], Finished)
        assert core.residency.n_used == 0


def test_a_deadline_that_is_met_changes_nothing(f32_base: Path) -> None:
    with opened(exact_config(f32_base)) as core:
        expected = run(core, greedy("x", PROMPT, BASE, 4))
        assert run(core, replace(greedy("x", PROMPT, BASE, 4), deadline_s=60.0)) == expected
        core._scheduler._deadlines[0] = (0.0, *core._scheduler._deadlines[0][1:])
        assert run(core, greedy("x", PROMPT, BASE, 4)) == expected


# --- the background


def test_the_background_computes_nothing_beside_a_request(f32_base: Path) -> None:
    long = [300 + i % 700 for i in range(600)]
    with opened(exact_config(f32_base, ctx=1024)) as core:
        core.submit(prefill("warm", long))
        core.step()
        (warm,) = core._scheduler.running
        computed = len(warm.held.tokens)
        assert 0 < computed < len(long)
        core.submit(greedy("real", PROMPT, BASE, 8))
        while core._scheduler.find("real"):
            core.step()
            assert len(warm.held.tokens) == computed
        end = ends(core)["warm"]
    assert isinstance(end, Finished)
    assert end.reason == "length"


def test_what_was_computed_in_the_background_is_handed_over(f32_base: Path, adapter: AdapterFile) -> None:
    prompt = [300 + i % 700 for i in range(400)]
    under = selection((adapter, 1.0))
    with opened(exact_config(f32_base, ctx=512), [adapter]) as core:
        expected = run(core, greedy("cold", prompt, under, 8))["cold"]
        core.forget_conversations()
        core.submit(prefill("warm", prompt, under))
        core.step()
        computed = len(core._scheduler.running[0].held.tokens)
        core.submit(greedy("real", [*prompt], under, 8))
        events = drain(core)
    end = {event.request: event for event in events if isinstance(event, Finished)}
    assert end["warm"].reason == "cancelled"
    assert 0 < computed <= end["real"].reused_tokens
    assert texts(events)["real"] == expected


def test_the_background_gives_way_when_its_place_is_needed(f32_base: Path) -> None:
    with opened(exact_config(f32_base, max_sequences=2, ctx=512)) as core:
        for i in range(2):
            core.submit(prefill(f"warm{i}", [300 + i + j % 700 for j in range(400)]))
            core.step()
        assert len(core._scheduler.running) == 2
        core.submit(greedy("real", PROMPT, BASE, 4))
        core.step()
        assert {sequence.request.id for sequence in core._scheduler.running} == {"warm0", "real"}
        end = ends(core)
    assert end["real"].reason == "length"  # type: ignore[union-attr]
    assert end["warm0"].reason == "length"  # type: ignore[union-attr]


def test_the_background_gives_its_adapters_back_when_their_room_is_needed(f32_base: Path, tmp_path: Path) -> None:
    two = [write_adapter(tmp_path / f"a{i}.gguf", f32_base, rank=16, seed=i) for i in range(2)]
    with opened(exact_config(f32_base, ctx=512, adapter_bytes=pool_bytes(f32_base, 16)), two) as core:
        core.submit(prefill("warm", [300 + i % 700 for i in range(400)], selection((two[0], 1.0))))
        while not core._scheduler.running:
            core.step()
        core.submit(greedy("real", PROMPT, selection((two[1], 1.0)), 4))
        end = ends(core)
        assert core.residency.n_used == 0
    assert end["warm"].reason == "cancelled"  # type: ignore[union-attr]
    assert end["real"].reason == "length"  # type: ignore[union-attr]


def test_the_background_gives_way_to_an_adapter_that_is_loaded(f32_base: Path, two: list[AdapterFile]) -> None:
    with opened(exact_config(f32_base, ctx=512, adapter_bytes=pool_bytes(f32_base, 16)), two) as core:
        third = write_adapter(two[0].path.with_name("third.gguf"), f32_base, rank=16, seed=3)
        core.submit(prefill("warm", [300 + i % 700 for i in range(400)], selection((two[0], 1.0))))
        while not core._scheduler.running:
            core.step()
        assert core.load(third).resident
        end = ends(core)["warm"]
    assert isinstance(end, Finished)
    assert end.reason == "cancelled"


def test_the_background_can_be_cancelled(f32_base: Path) -> None:
    with opened(exact_config(f32_base, ctx=512)) as core:
        core.submit(prefill("warm", [300 + i % 700 for i in range(400)]))
        core.step()
        core.submit(prefill("next", PROMPT))
        core.cancel("warm")
        core.cancel("next")
        assert {name: end.reason for name, end in ends(core).items() if isinstance(end, Finished)} == {
            "warm": "cancelled",
            "next": "cancelled",
        }
