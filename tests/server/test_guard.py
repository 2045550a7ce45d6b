"""A server without keys is for programs on this machine, not for pages in browsers; files stay where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from starlette.requests import Request
from support.adapters import write_adapter

from edgelora.server.options import ServerOptions
from tests.server.serving import Http, local

if TYPE_CHECKING:
    pass

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
    (root / "linked").mkdir()
    (root / "linked" / "adapter_config.json").write_text("{}")
    (outside / "adapter_model.safetensors").write_bytes(b"x")
    (root / "linked" / "adapter_model.safetensors").symlink_to(outside / "adapter_model.safetensors")
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
        {"host": "["},
        {"host": "[::1"},
        {"origin": "http://["},
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


@pytest.mark.parametrize(("name", "says"), [("pickled", "may run code"), ("linked", "leads elsewhere")])
def test_a_folder_whose_files_are_dangerous_or_elsewhere_is_refused(http: Http, name: str, says: str) -> None:
    assert says in http.refused("/v1/completions", {**ASK, "model": f"./{name}"})["message"]
    assert says in http.refused("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": name})["message"]


def test_another_address_of_this_machine_is_its_own_name(root: Path) -> None:
    from edgelora.server.guard import Guard
    from edgelora.server.tenants import Tenants

    guard = Guard(cast(Any, None), local(host="127.0.0.2"), Tenants())
    headers = [(b"host", b"127.0.0.2:8080")]
    assert guard._tenant(Request({"type": "http", "path": "/v1/models", "headers": headers}))
