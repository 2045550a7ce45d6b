"""vLLM's dialect: adapters loaded and unloaded while the server runs; the cases of its own test_lora_adapters.py."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.adapters import write_adapter
from support.engines import exact_config, pool_bytes

from edgelora.server.running import Server
from tests.server.serving import Http, local, serving, settled

if TYPE_CHECKING:
    from edgelora.types import AdapterFile

ASK: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 8}
N_LOADS = 10


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, f32_base: Path) -> Path:
    root = tmp_path_factory.mktemp("root")
    for i in range(N_LOADS):
        write_adapter(root / f"many{i}.gguf", f32_base, seed=20 + i, strength=6.0)
    write_adapter(root / "mine.gguf", f32_base, seed=4, strength=6.0)
    write_adapter(root / "large.gguf", f32_base, rank=80)
    (root / "broken.gguf").write_bytes(b"GGUF but not really")
    for name in ("not-json", "without-weights", "pickled"):
        (root / name).mkdir()
        (root / name / "adapter_config.json").write_text("this is not json")
    (root / "not-json" / "adapter_model.safetensors").write_bytes(b"x")
    (root / "pickled" / "adapter_model.bin").write_bytes(b"x")
    return root


@pytest.fixture(scope="module")
def server(f32_base: Path, strong: dict[str, AdapterFile], root: Path) -> Iterator[Server]:
    """Memory for four adapters of rank 8, and nothing for those that make room."""
    memory = pool_bytes(f32_base, 32)
    config = replace(exact_config(f32_base), ctx=512, adapter_bytes=memory, prepared_bytes=1)
    with serving(config, local(adapter_roots=(root,), dynamic_adapters=True)) as server:
        yield server


def load(http: Http, name: str, path: str, **more: Any) -> int:
    body = {"lora_name": name, "lora_path": path, **more}
    status: int = http.client.post("/v1/load_lora_adapter", json=body).status_code
    return status


def unload(http: Http, name: str) -> int:
    status: int = http.client.post("/v1/unload_lora_adapter", json={"lora_name": name}).status_code
    return status


def text(http: Http, model: str) -> str:
    found: str = http.post("/v1/completions", **ASK, model=model)["choices"][0]["text"]
    return found


def test_an_adapter_is_loaded_listed_used_and_unloaded(http: Http) -> None:
    assert load(http, "added", "mine.gguf") == 200
    listed = {one["id"]: one for one in http.get("/v1/models")["data"]}
    assert listed["added"]["parent"] == listed["added"]["root"] == "base"
    made = http.post("/v1/completions", **ASK, model="added:0.5+first:0.5")
    assert {one["scale"] for one in made["edgelora"]["adapters"]} == {0.5}
    assert text(http, "added") != text(http, "base")
    assert unload(http, "added") == 200
    http.refused("/v1/completions", {**ASK, "model": "added"}, 404)
    assert unload(http, "added") == 404


def test_a_name_is_given_anew_only_where_that_is_said(http: Http) -> None:
    assert load(http, "twice", "mine.gguf") == 200
    before = text(http, "twice")
    body = {"lora_name": "twice", "lora_path": "many0.gguf"}
    assert http.refused("/v1/load_lora_adapter", body)["message"].startswith("there is an adapter 'twice' already")
    assert text(http, "twice") == before
    assert load(http, "twice", "many0.gguf", load_inplace=True) == 200
    assert text(http, "twice") != before
    assert unload(http, "twice") == 200


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("x", "none", 404),
        ("x", "broken.gguf", 400),
        ("x", "not-json", 400),
        ("x", "without-weights", 400),
        ("x", "pickled", 400),
        ("x", "large.gguf", 400),
        ("", "mine.gguf", 400),
        ("No Name", "mine.gguf", 400),
        ("base", "mine.gguf", 400),
        ("first", "mine.gguf", 400),
    ],
)
def test_a_bad_load_is_refused_and_leaves_nothing(http: Http, name: str, path: str, status: int) -> None:
    before = http.get("/v1/models")
    http.refused("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path}, status)
    assert http.get("/v1/models") == before


def test_one_that_is_too_large_costs_nobody_their_place(http: Http) -> None:
    assert load(http, "mine", "mine.gguf") == 200
    before = http.client.get("/metrics").text
    assert load(http, "x", "large.gguf") == 400
    assert evictions(http.client.get("/metrics").text) == evictions(before)
    assert unload(http, "mine") == 200


def evictions(metrics: str) -> list[str]:
    return [line for line in metrics.splitlines() if line.startswith("edgelora_evictions_total")]


def test_ten_are_loaded_and_used_at_once(http: Http) -> None:
    def load_and_use(i: int) -> list[str]:
        assert load(http, f"many{i}", f"many{i}.gguf") == 200
        return [text(http, f"many{i}") for _ in range(3)]

    with ThreadPoolExecutor(N_LOADS) as pool:
        answers = list(pool.map(load_and_use, range(N_LOADS)))
    assert all(len(set(three)) == 1 for three in answers)
    assert len({three[0] for three in answers}) == N_LOADS
    assert [unload(http, f"many{i}") for i in range(N_LOADS)] == [200] * N_LOADS


@pytest.mark.parametrize("n_bad", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_bad_loads_disturb_no_answer(n_bad: int, http: Http) -> None:
    alone = text(http, "first")

    def bad(i: int) -> int:
        return load(http, f"bad{i}", ("broken.gguf", "not-json", "none", "large.gguf")[i % 4])

    with ThreadPoolExecutor(8) as pool:
        bads = [pool.submit(bad, i) for i in range(n_bad)]
        answers = [pool.submit(text, http, "first") for _ in range(max(3, n_bad // 4))]
        assert {settled(one) for one in bads} == {400, 404}
        assert {settled(one) for one in answers} == {alone}
    assert not any(one["id"].startswith("bad") for one in http.get("/v1/models")["data"])
    assert load(http, "valid", "mine.gguf") == 200
    assert text(http, "valid") != alone
    assert unload(http, "valid") == 200


def test_beam_search_is_not_carried_and_says_so(http: Http) -> None:
    error = http.refused("/v1/completions", {**ASK, "model": "first", "use_beam_search": True})
    assert error["param"] == "use_beam_search"
