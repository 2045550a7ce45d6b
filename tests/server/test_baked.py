"""Selections baked for the server on the embedded demo, and what their answers say."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.checkout import ROOT
from support.engines import drain, exact_config, greedy, opened, texts

from edgelora.adapters.store.manifest import Origin
from edgelora.adapters.store.store import AdapterStore
from edgelora.engine import memory
from edgelora.gguf.hashes import fingerprint
from edgelora.merge.baked import BakedBases
from edgelora.server.options import ServerOptions
from edgelora.types import BASE, EngineConfig
from tests.server.processes import CLI, ServerProcess, environment, server_process
from tests.server.serving import NEVER_ENDS, Http, local, serving, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgelora.server.running import Server

PROMPT = "The patient"
LENGTH = 24
ASK = {"model": "legal", "prompt": PROMPT, "max_tokens": 2}


@pytest.fixture(scope="module")
def config(f32_base: Path) -> EngineConfig:
    """Everything in F32, so that equal requests have equal answers whatever was computed before."""
    return exact_config(f32_base)


@pytest.fixture(scope="module")
def options() -> ServerOptions:
    return local(bake=("legal",))


@pytest.fixture(scope="module")
def server(config: EngineConfig, folder: Path, options: ServerOptions) -> Iterator[Server]:
    """With the demo's adapters, of which `legal` is served baked."""
    with serving(config, options) as server:
        yield server


@pytest.fixture(scope="module")
def baked(http: Http) -> Http:
    """The same once it is so."""
    return served(http, "legal", "baked")


def served(http: Http, selection: str, state: str) -> Http:
    until(lambda: state_of(http, selection) == state, tries=20_000)
    return http


@contextmanager
def asking(url: str, key: str = "") -> Iterator[Http]:
    http = Http(url, key)
    try:
        yield http
    finally:
        http.client.close()


def state_of(http: Http, selection: str) -> str:
    return next(one["state"] for one in http.get("/props")["baked"] if one["selection"] == selection)


def answer(http: Http, model: str) -> tuple[str, dict[str, Any]]:
    """The text, and what made it."""
    body = http.post("/v1/completions", model=model, prompt=PROMPT, max_tokens=LENGTH)
    return body["choices"][0]["text"], body["edgelora"]


def of_file(path: Path, config: EngineConfig, tokens: list[int]) -> str:
    """What the file at ``path`` says by itself."""
    with opened(replace(config, base=path, exclusive=True)) as core:
        core.submit(greedy("x", tokens, BASE, LENGTH))
        return texts(drain(core))["x"]


def test_a_baked_selection_answers_as_its_file_does_and_nothing_else_does(baked: Http, config: EngineConfig) -> None:
    tokens = baked.post("/tokenize", content=PROMPT, add_special=True)["tokens"]
    text, made = answer(baked, "legal")
    (entry,) = (entry for entry in BakedBases().entries() if fingerprint(entry.path) == made["weights"])
    assert entry.verdict
    assert text == of_file(entry.path, config, tokens)
    assert text != answer(baked, "base")[0]
    assert (made["mode"], made["selection"]) == ("baked", "legal")
    assert made["adapters"] == [{"name": "legal", "sha256": entry.adapters[0].sha256, "scale": 1.0}]
    for model in ("base", "medical", "legal:0.7", "legal+medical"):
        other = answer(baked, model)[1]
        assert (other["mode"], "fallback" in other) == ("run-time", False)
    assert answer(baked, "legal")[0] == text  # nothing of the others is in it


def test_every_dialect_says_that_it_is_baked(baked: Http) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    for path, body in (
        ("/v1/chat/completions", {"messages": messages, "model": "legal", "max_tokens": 2}),
        ("/v1/completions", {"prompt": PROMPT, "model": "legal:1.0", "max_tokens": 2, "n": 2}),
        ("/completion", {"prompt": PROMPT, "model": "legal", "n_predict": 2}),
    ):
        response = baked.client.post(path, json=body).raise_for_status()
        assert response.headers["x-edgelora-mode"] == response.json()["edgelora"]["mode"] == "baked"
        assert response.headers["x-edgelora-weights"] == response.json()["edgelora"]["weights"]
        assert response.headers["x-edgelora-selection"] == "legal"
        made = next(event["edgelora"] for event in baked.events(path, **body) if "edgelora" in event)
        assert made["mode"] == "baked"


def test_models_and_metrics_show_it(baked: Http) -> None:
    modes = {one["id"]: one.get("mode") for one in baked.get("/v1/models")["data"]}
    assert (modes["legal"], modes["medical"]) == ("baked", "run-time")
    answer(baked, "legal")
    said = baked.client.get("/metrics").text
    assert 'edgelora_baked{selection="legal",state="baked"} 1\n' in said
    assert 'edgelora_baked_requests_total{selection="legal"}' in said


def test_vectors_of_a_baked_selection_are_computed_at_run_time(baked: Http) -> None:
    made = baked.post("/v1/embeddings", model="legal", input=PROMPT)["edgelora"]
    assert (made["selection"], made["mode"], "fallback" in made) == ("legal", "run-time", False)


@pytest.mark.slow
def test_where_memory_does_not_allow_it_answers_say_so(
    config: EngineConfig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = itertools.chain([2**30], itertools.repeat(2**20))  # enough for the base, not for another one
    monkeypatch.setattr(memory, "free_memory", lambda: next(free))
    with serving(config, local(bake=("legal",))) as server, asking(server.address) as http:
        served(http, "legal", "run-time")
        made = answer(http, "legal")[1]
        assert (made["mode"], made["selection"]) == ("run-time", "legal")
        assert "memory does not allow" in made["fallback"]
        assert 'edgelora_fallback_requests_total{selection="legal"} 1\n' in http.client.get("/metrics").text


@pytest.mark.slow
def test_a_roll_out_is_answered_at_run_time_until_it_is_baked(config: EngineConfig, folder: Path) -> None:
    store = AdapterStore(folder)
    first = put(store, "skill", "coding")
    with serving(config, local(bake=("skill",))) as server, asking(server.address) as http:
        served(http, "skill", "baked")
        text, made = answer(http, "skill")
        second = put(store, "skill", "medical")
        seen = [made]
        until(lambda: seen.append(answer(http, "skill")[1]) or contents(seen[-1]) == {second})
        served(http, "skill", "baked")
        other, rolled_out = answer(http, "skill")
        assert (rolled_out["mode"], contents(rolled_out), other != text) == ("baked", {second}, True)
        store.rollback("skill")
        until(lambda: seen.append(answer(http, "skill")[1]) or seen[-1].get("weights") == made["weights"])
        assert answer(http, "skill")[0] == text
        for one in seen:  # never one version's name with another's weights
            assert contents(one) in ({first}, {second})
            assert one["mode"] == "baked" or "fallback" in one
            assert one.get("weights") in (None, (made if contents(one) == {first} else rolled_out)["weights"])


def contents(made: dict[str, Any]) -> set[str]:
    return {adapter["sha256"] for adapter in made["adapters"]}


def put(store: AdapterStore, name: str, adapter: str) -> str:
    """Make a demo adapter the current version of ``name``; its content hash."""
    source = ROOT / "models" / "adapters" / f"{adapter}.gguf"
    with store.incoming() as made:
        file = made / "adapter.gguf"
        file.write_bytes(source.read_bytes())
        return store.add(name, file, Origin(str(source), 0.0)).sha256


@pytest.mark.slow
def test_a_tenant_may_become_a_hot_one_and_cease_to_be_so(config: EngineConfig, folder: Path, tmp_path: Path) -> None:
    tenants, key = tmp_path / "tenants.toml", "acme-key-0123456789"
    cold = f'[tenants.acme]\nkey = "{key}"\ndefault = "legal"\nselections = ["legal"]\n'
    tenants.write_text(cold)
    with serving(config, local(tenants=tenants)) as server, asking(server.address, key) as http:
        assert answer_of_default(http)["mode"] == "run-time"
        tenants.write_text(f"{cold}baked = true\n")
        until(lambda: answer_of_default(http)["mode"] == "baked")
        assert answer_of_default(http)["selection"] == "legal"
        tenants.write_text(cold)
        until(lambda: answer_of_default(http)["mode"] == "run-time")
        assert "fallback" not in answer_of_default(http)


def answer_of_default(http: Http) -> dict[str, Any]:
    made: dict[str, Any] = http.post("/v1/completions", prompt=PROMPT, max_tokens=2)["edgelora"]
    return made


@pytest.mark.slow
def test_the_end_of_a_server_that_bakes_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    command = (*CLI, "serve", "--port", "0", "--threads", "1", "--bake", "chat,coding,legal,medical")
    cache = tmp_path / "cache"
    with server_process(command, tmp_path / "log", environment(folder, XDG_CACHE_HOME=str(cache))) as server:
        until(lambda: "baking chat" in server.log)
        processes = psutil.Process(server.process.pid).children(recursive=True)
        assert server.end() == 0
        assert not psutil.wait_procs(processes, timeout=60)[1]
        assert "Traceback" not in server.log
    assert not [*cache.rglob(".*.part")]
    assert len([*cache.rglob("*.gguf")]) < 4


@pytest.mark.slow
def test_a_baked_engine_that_is_killed_costs_one_answer(folder: Path, tmp_path: Path) -> None:
    command = (*CLI, "serve", "--port", "0", "--threads", "1", "--ctx", "4096", "--bake", "legal")
    with server_process(command, tmp_path / "log", environment(folder)) as server, asking(server.url) as http:
        served(http, "legal", "baked")
        body = {"model": "legal", "prompt": PROMPT, "max_tokens": 3000, "logit_bias": NEVER_ENDS, "stream": True}
        with http.client.stream("POST", "/v1/completions", json=body) as response:
            lines = (line for line in response.iter_lines() if line)
            assert next(lines).startswith("data: ")
            baked_engine(server).kill()
            *_, last = lines
        assert '"engine_restarting"' in last
        assert answer(http, "legal")[1]["mode"] == "baked"
        assert "\nedgelora_engine_restarts_total 1\n" in http.client.get("/metrics").text
        engines = psutil.Process(server.process.pid).children(recursive=True)
        assert server.end() == 0
        assert not psutil.wait_procs(engines, timeout=60)[1]


@pytest.mark.slow
def test_a_baked_file_that_is_damaged_is_no_clients_fault(folder: Path, tmp_path: Path) -> None:
    command = (*CLI, "serve", "--port", "0", "--threads", "1", "--bake", "legal")
    environ = environment(folder, XDG_CACHE_HOME=str(tmp_path / "cache"))
    with server_process(command, tmp_path / "log", environ) as server, asking(server.url) as http:
        served(http, "legal", "baked")
        (file,) = (tmp_path / "cache").rglob("*.gguf")
        (tmp_path / "half").write_bytes(file.read_bytes()[:-1_000_000])
        engines = psutil.Process(server.process.pid).children()
        (engine,) = (one for one in engines if str(file) in {mapped.path for mapped in one.memory_maps()})
        (tmp_path / "half").replace(file)
        engine.kill()
        seen = []
        until(lambda: seen.append(http.client.post("/v1/completions", json=ASK)) or seen[-1].status_code == 200)
        assert {one.status_code for one in seen} <= {200, 503}
        assert "its engine has failed" in seen[-1].headers["x-edgelora-fallback"]


def baked_engine(server: ServerProcess) -> psutil.Process:
    """The process that has a file of the cache open."""
    baked = {str(entry.path) for entry in BakedBases().entries()}
    children = psutil.Process(server.process.pid).children()
    (engine,) = (child for child in children if baked & {mapped.path for mapped in child.memory_maps()})
    return engine
