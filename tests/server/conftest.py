"""One engine and one server for each module of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from support.adapters import write_adapter
from support.engines import exact_config

from edgelora.server.options import ServerOptions
from edgelora.server.running import Server
from edgelora.types import AdapterFile
from tests.server.serving import Http, local, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The adapter folder of this module, empty; nothing of the user's is seen."""
    folder = tmp_path_factory.mktemp("adapters")
    home = tmp_path_factory.mktemp("home")
    changed = {"EDGELORA_ADAPTERS": str(folder)}
    changed |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    yield folder
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="module")
def strong(folder: Path, f32_base: Path) -> dict[str, AdapterFile]:
    """Two adapters in the folder that change every answer: `first` and `second`."""
    return {
        name: write_adapter(folder / f"{name}.gguf", f32_base, rank=8, strength=6.0, seed=seed, dtype="float32")
        for seed, name in enumerate(("first", "second"), 1)
    }


@pytest.fixture(scope="module")
def options() -> ServerOptions:
    """How the module's server is set up; a module may have its own."""
    return local()


@pytest.fixture(scope="module")
def server(f32_base: Path, strong: dict[str, AdapterFile], options: ServerOptions) -> Iterator[Server]:
    """Everything in F32, so that equal requests have equal answers whatever runs beside them."""
    with serving(replace(exact_config(f32_base), ctx=512), options) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[Http]:
    http = Http(server.address)
    yield http
    http.client.close()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0, timeout=100) as client:
        yield client
