"""A server without keys is for programs on this machine, not for pages in browsers; files stay where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.adapters import write_adapter

from edgelora.server.options import ServerOptions
from tests.server.serving import Http, local

if TYPE_CHECKING:
    from edgelora.server.running import Server

ASK: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 8}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, f32_base: Path) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    root = tmp_path_factory.mktemp("root")
    for folder in (outside, root):
        write_adapter(folder / "mine.gguf", f32_base, seed=4, strength=6.0)
    (root / "link.gguf").symlink_to(outside / "mine.gguf")
    (root / "pickled").mkdir()
    (root / "pickled" / "adapter_config.json").write_text("{}")
    (root / "pickled" / "adapter_model.bin").write_bytes(b"x")
    (root / "broken.gguf").write_bytes(b"GGUF but not really")
    (root / "not-json").mkdir()
    (root / "not-json" / "adapter_config.json").write_text("this is not json")
    (root / "not-json" / "adapter_model.safetensors").write_bytes(b"x")
    return root


@pytest.fixture(scope="module")
def options(root: Path) -> ServerOptions:
    return local(adapter_roots=(root,), dynamic_adapters=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "127.0.0.1.evil.example"},
    ],
)
def test_a_web_page_gets_nothing(http: Http, headers: dict[str, str]) -> None:
    assert http.client.post("/v1/completions", json=ASK, headers=headers).status_code == 403
    assert http.client.get("/health", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"host": "localhost:1"}, {"origin": "http://localhost:3000"}, {"host": "[::1]:80"}]
)
def test_a_program_here_gets_an_answer(http: Http, headers: dict[str, str]) -> None:
    assert http.client.get("/v1/models", headers=headers).status_code == 200


def test_a_path_within_a_root_is_a_model(http: Http, root: Path) -> None:
    base = http.post("/v1/completions", **ASK)["choices"]
    relative = http.post("/v1/completions", **ASK, model="mine.gguf")
    assert relative["choices"] == http.post("/v1/completions", **ASK, model=str(root / "mine.gguf"))["choices"] != base
    assert relative["edgelora"]["adapters"][0]["name"] == "mine"
    assert http.post("/v1/completions", **ASK, model="./mine.gguf:0")["choices"] == base


@pytest.mark.parametrize(
    "path", ["link.gguf", "../outside0/mine.gguf", "/etc/passwd", "x/../../mine.gguf", "~/a.gguf", "a/\0"]
)
def test_a_path_elsewhere_is_unknown(http: Http, root: Path, path: str) -> None:
    assert http.refused("/v1/completions", {**ASK, "model": path}, 404)["code"] == "model_not_found"
    absolute = os.path.relpath(root.parent, root) + "/outside0/mine.gguf"
    http.refused("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": absolute}, 404)


# --- vLLM's tests/entrypoints/openai/test_lora_adapters.py, restated


def test_an_adapter_is_loaded_named_and_unloaded(http: Http, root: Path) -> None:
    body = {"lora_name": "added", "lora_path": "mine.gguf"}
    assert http.client.post("/v1/load_lora_adapter", json=body).status_code == 200
    listed = {one["id"]: one for one in http.get("/v1/models")["data"]}
    assert listed["added"]["parent"] == listed["added"]["root"] == "base"
    made = http.post("/v1/completions", **ASK, model="added:0.5+first:0.5")
    assert {one["scale"] for one in made["edgelora"]["adapters"]} == {0.5}
    assert http.post("/v1/completions", **ASK, model="added")["choices"][0]["text"]
    assert http.refused("/v1/load_lora_adapter", body)["message"].startswith("there is an adapter 'added' already")
    assert http.client.post("/v1/load_lora_adapter", json={**body, "load_inplace": True}).status_code == 200
    assert http.client.post("/v1/unload_lora_adapter", json={"lora_name": "added"}).status_code == 200
    http.refused("/v1/completions", {**ASK, "model": "added"}, 404)
    http.refused("/v1/unload_lora_adapter", {"lora_name": "added"}, 404)


@pytest.mark.parametrize(
    ("name", "path", "status"),
    [
        ("x", "none", 404),
        ("x", "broken.gguf", 400),
        ("x", "not-json", 400),
        ("x", "pickled", 400),
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


@pytest.mark.parametrize("n_bad", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_ten_loads_at_once_and_bad_ones_during_traffic(
    n_bad: int, http: Http, server: Server, root: Path, f32_base: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for i in range(10):
        write_adapter(root / f"many{i}.gguf", f32_base, seed=20 + i, strength=6.0)
    alone = http.post("/v1/completions", **ASK, model="first")["choices"]

    def load(i: int) -> int:
        body = {"lora_name": f"many{i}", "lora_path": f"many{i}.gguf"}
        status: int = http.client.post("/v1/load_lora_adapter", json=body).status_code
        return status

    def bad(i: int) -> int:
        body = {"lora_name": f"bad{i}", "lora_path": ("broken.gguf", "not-json", "none")[i % 3]}
        status: int = http.client.post("/v1/load_lora_adapter", json=body).status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        loads = [pool.submit(load, i) for i in range(10)]
        bads = [pool.submit(bad, i) for i in range(n_bad)]
        answers = [pool.submit(http.post, "/v1/completions", **ASK, model="first") for _ in range(3)]
        assert {one.result() for one in loads} == {200}
        assert {one.result() for one in bads} == {400, 404}
        assert all(one.result()["choices"] == alone for one in answers)
    names = {one["id"] for one in http.get("/v1/models")["data"]}
    assert {f"many{i}" for i in range(10)} <= names
    assert not any(name.startswith("bad") for name in names)
    assert len({http.post("/v1/completions", **ASK, model=f"many{i}")["choices"][0]["text"] for i in range(10)}) == 10
