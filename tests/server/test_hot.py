"""Selections served baked, with a bakery that does as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from support.fake_engine import FakeEngine, base_info

from edgelora.chat.resolved import ResolvedSelection
from edgelora.errors import EdgeloraError, EngineDiedError, MemoryLimitError, MergeError, UnknownAdapterError
from edgelora.merge.options import MergeMember
from edgelora.server.attestation import attestation, attestation_headers, system_fingerprint
from edgelora.server.baking import StoppedError, UnverifiedError
from edgelora.server.heating import Heating
from edgelora.server.hot import HotSelections
from edgelora.server.metrics import Metrics
from edgelora.types import BASE, AdapterFile, AttestedAdapter, Member, Selection


def everybody(text: str) -> bool:
    return True


@dataclass
class Catalogue:
    """Names and the content that they mean at the moment."""

    means: dict[str, str] = field(default_factory=dict)
    changes: int = 0

    def mean(self, **means: str) -> None:
        self.means.update(means)
        self.changes += 1

    async def resolve(self, text: str) -> ResolvedSelection:
        name, _, scale = text.partition(":")
        if name not in self.means:
            raise UnknownAdapterError(f"there is no {name}")
        file = AdapterFile(name, Path(f"{self.means[name]}.gguf"), self.means[name] * 64)
        return ResolvedSelection(Selection.of([Member(file.sha256, float(scale or 1))]), (file,))


@dataclass
class Bakery:
    """Bakes at once, unless there is an error for it. ``open_only`` holds back engines until it is set."""

    errors: list[EdgeloraError] = field(default_factory=list)
    cannot_open: list[EdgeloraError] = field(default_factory=list)
    baked: list[str] = field(default_factory=list)
    engines: list[FakeEngine] = field(default_factory=list)
    beside: list[int] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    swaps_files: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def stop(self) -> None:
        self.stopped = True

    async def bake(self, text: str, members: Sequence[MergeMember]) -> Path:
        await self.gate.wait()
        if self.stopped:
            raise StoppedError
        if self.errors:
            raise self.errors.pop(0)
        self.baked.append(text)
        self._members = members
        return Path(f"{text}.gguf")

    async def open(self, path: Path, beside: Sequence[Any]) -> FakeEngine:
        self.beside.append(len(list(beside)))
        if self.cannot_open:
            raise self.cannot_open.pop(0)
        contents = ("x" if self.swaps_files else one.path.stem for one in self._members)
        inside = tuple(
            AttestedAdapter("former name", content * 64, one.scale)
            for content, one in zip(contents, self._members, strict=True)
        )
        engine = FakeEngine(replace(base_info(), fingerprint=f"{len(self.engines)}" * 64, baked=inside))
        self.engines.append(engine)
        return engine


class Served:
    """Hot selections that are kept while the block runs."""

    def __init__(self, *wanted: str, **means: str) -> None:
        self.wanted = list(wanted)
        self.catalogue, self.bakery, self.metrics = Catalogue(means), Bakery(), Metrics()
        self.engine = FakeEngine()
        self.hot = HotSelections(self.engine, lambda: self.wanted, self.metrics)
        catalogue, bakery = cast(Any, self.catalogue), cast(Any, self.bakery)
        self.heating = Heating(self.engine, self.hot, catalogue, bakery, self.metrics)

    async def __aenter__(self) -> Served:
        self._keeping = asyncio.create_task(self.heating.keep())
        return self

    async def __aexit__(self, *ended: object) -> None:
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        await self.heating.close()
        assert all(engine.closed for engine in self.bakery.engines)

    async def weights(self, text: str) -> Any:
        resolved = await self.catalogue.resolve(text)
        return self.hot.weights(text, resolved.selection)

    def state(self, text: str) -> str:
        return str(next(one["state"] for one in self.hot.listed(everybody) if one["selection"] == text))


async def until(holds: Callable[[], object]) -> None:
    """Wait for what another task brings about."""
    while not holds():
        await asyncio.sleep(0)


async def test_what_is_named_is_served_baked_and_says_so() -> None:
    async with Served("a", "b:0.5", a="a", b="b") as served:
        await until(lambda: served.state("b:0.5") == "baked")
        weights = await served.weights("a")
        (inside,) = weights.attested(())
        assert (weights.engine, weights.selection, weights.fallback) == (served.bakery.engines[0], BASE, "")
        assert (inside.name, inside.sha256, inside.scale) == ("a", "a" * 64, 1)
        headers = attestation_headers(weights, weights.attested(()))
        assert headers["x-edgelora-mode"] == "baked"
        assert headers["x-edgelora-selection"] == "a"
        assert headers["x-edgelora-weights"] == "0" * 64
        assert headers["x-edgelora-base"] == served.engine.base.fingerprint
        assert attestation(weights, weights.attested(()))["mode"] == "baked"
        assert (await served.weights("b:0.5")).engine is served.bakery.engines[1]
        assert served.bakery.beside == [1, 2]  # each opens beside those before it
        assert served.metrics.baked_requests == {"a": 1, "b:0.5": 1}
        at_run_time = await served.weights("a:0.5")
        assert system_fingerprint(at_run_time, [inside]) != system_fingerprint(weights, [inside])


async def test_another_scale_or_adapter_is_computed_at_run_time() -> None:
    async with Served("a:0.5", a="a", b="b") as served:
        await until(lambda: served.state("a:0.5") == "baked")
        for text in ("a", "a:0.5001", "b"):
            weights = await served.weights(text)
            assert (weights.engine, weights.fallback, weights.baked) == (served.engine, "", None)
        assert served.hot.mode("a" * 64) == "run-time"


@pytest.mark.parametrize(
    ("error", "at_opening", "why"),
    [
        (MemoryLimitError("needs 2 MiB, 1 MiB are free"), True, "memory does not allow an engine of its own"),
        (EngineDiedError("crashed"), True, "its engine has failed"),
        (UnverifiedError("lost"), False, "its baked base did not pass its verification"),
        (MergeError("the disk is full"), False, "it could not be baked"),
    ],
)
async def test_what_cannot_be_baked_is_computed_at_run_time_and_says_why(
    error: EdgeloraError, at_opening: bool, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served("a", "b", a="a", b="b")
    (served.bakery.cannot_open if at_opening else served.bakery.errors).append(error)
    async with served:
        await until(lambda: served.state("b") == "baked")  # the others are not touched
        weights = await served.weights("a")
        assert (weights.engine, weights.baked) == (served.engine, None)
        assert attestation(weights, ())["mode"] == "run-time"
        assert attestation(weights, ())["fallback"] == f"a was computed at run time: {why}"
        assert served.metrics.fallen_back == {"a": 1}
        assert error.message in caplog.text  # the log says it whole, the client hears nothing of the inside
        assert error.message not in weights.fallback
        served.catalogue.mean(other="d")
        served.heating.look()
        assert served.state("a") == "run-time"  # it is not tried again


async def test_an_engine_whose_file_says_otherwise_is_not_used() -> None:
    served = Served("a", a="a")
    served.bakery.swaps_files = True
    async with served:
        await until(lambda: served.state("a") == "run-time")
        assert served.bakery.engines[0].closed
        assert "verification" in (await served.weights("a")).fallback


async def test_requests_are_computed_at_run_time_while_it_is_baked() -> None:
    served = Served("a", a="a")
    served.bakery.gate.clear()
    assert "not baked yet" in (await served.weights("a")).fallback
    async with served:
        await until(lambda: served.hot.in_use)
        assert served.hot.in_use == {"a" * 64}  # so that the library keeps its file
        assert "being baked" in (await served.weights("a")).fallback
        served.bakery.gate.set()
        await until(lambda: served.state("a") == "baked")
        assert not served.hot.in_use


async def test_a_new_version_is_computed_at_run_time_until_it_is_baked_too() -> None:
    async with Served("a", a="a", b="b") as served:
        await until(lambda: served.state("a") == "baked")
        old = await served.weights("a")
        with old.used():
            served.bakery.gate.clear()
            served.catalogue.mean(a="n")
            new = await served.weights("a")  # before anybody has looked
            assert (new.engine, new.baked) == (served.engine, None)
            assert "not baked yet" in new.fallback
            served.heating.look()
            await until(lambda: served.state("a") == "baking")
            served.bakery.gate.set()
            await until(lambda: served.state("a") == "baked")  # a long answer holds up nobody
            assert not served.bakery.engines[0].closed  # it goes on
            assert served.bakery.beside == [1, 2]
        await until(lambda: served.bakery.engines[0].closed)
        (inside,) = (await served.weights("a")).attested(())
        assert inside.sha256 == "n" * 64


async def test_a_new_version_that_finds_no_memory_waits_for_the_old_one_to_end() -> None:
    async with Served("a", "b", a="a", b="b") as served:
        await until(lambda: served.state("b") == "baked")
        with (await served.weights("a")).used():
            served.bakery.cannot_open.append(MemoryLimitError("needs 2 MiB, 1 MiB are free"))
            served.catalogue.mean(a="n")
            served.heating.look()
            await until(lambda: not served.bakery.cannot_open)
            assert served.state("a") == "opening"
            assert "being opened" in (await served.weights("a")).fallback
        await until(lambda: served.state("a") == "baked")
        assert served.bakery.engines[0].closed
        assert served.bakery.beside == [1, 2, 3, 2]


async def test_the_end_waits_for_no_answer() -> None:
    async with Served("a", "b", a="a", b="b") as served:
        await until(lambda: served.state("b") == "baked")
        with (await served.weights("a")).used(), (await served.weights("b")).used():
            served.wanted.remove("a")
            served.heating.look()
            await until(lambda: len(served.hot.baked) == 1)
            assert not any(engine.closed for engine in served.bakery.engines)
            await served.heating.close()
            assert all(engine.closed for engine in served.bakery.engines)


async def test_a_selection_that_is_not_wanted_any_more_loses_its_engine() -> None:
    async with Served("a", "b", a="a", b="b") as served:
        await until(lambda: served.state("b") == "baked")
        served.wanted.remove("a")
        served.heating.look()
        await until(lambda: served.bakery.engines[0].closed)
        weights = await served.weights("a")
        assert (weights.engine, weights.fallback) == (served.engine, "")
        assert (await served.weights("b")).baked


async def test_what_changes_during_a_bake_is_heeded_before_the_next() -> None:
    served = Served("a", "b", "c", a="a", b="b", c="c")
    served.bakery.gate.clear()
    async with served:
        await until(lambda: served.hot.in_use)
        served.wanted.remove("b")
        served.heating.look()
        served.bakery.gate.set()
        await until(lambda: served.state("c") == "baked")
        assert served.bakery.baked == ["a", "c"]


async def test_two_names_of_one_adapter_share_an_engine() -> None:
    async with Served("a", "same", "b", a="a", same="a", b="b") as served:
        await until(lambda: served.state("b") == "baked")
        assert served.bakery.baked == ["a", "b"]
        assert (await served.weights("same")).baked
        assert served.state("same") == "baked"


async def test_a_name_that_is_gone_is_no_end(caplog: pytest.LogCaptureFixture) -> None:
    async with Served("gone", "b", b="b") as served:
        await until(lambda: served.state("b") == "baked")
        assert "there is no gone" in caplog.text
        assert served.state("gone") == "waiting"


async def test_an_engine_that_ends_for_good_leaves_its_selection_to_the_other() -> None:
    async with Served("a", a="a") as served:
        await until(lambda: served.state("a") == "baked")
        served.bakery.engines[0].die()
        await until(lambda: served.bakery.engines[0].closed)
        weights = await served.weights("a")
        assert (weights.engine, weights.baked) == (served.engine, None)
        assert "its engine has failed" in weights.fallback


async def test_the_end_stops_baking() -> None:
    served = Served("a", a="a")
    served.bakery.gate.clear()
    async with served:
        await until(lambda: served.hot.in_use)
        served.heating.stop_baking()
        served.bakery.gate.set()
        await until(lambda: served.state("a") == "run-time")
        assert not served.bakery.engines


async def test_who_may_not_use_a_selection_does_not_hear_of_it() -> None:
    async with Served("a", "b", a="a", b="b") as served:
        await until(lambda: served.state("b") == "baked")
        assert [one["selection"] for one in served.hot.listed(lambda text: text == "b")] == ["b"]
