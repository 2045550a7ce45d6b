"""Every form of `model`: the answer is that of `edgelora run` with the same selection, and not the base's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from support.adapters import write_adapter
from support.engines import exact_config
from support.stores import put

from edgelora.adapters.store.store import AdapterStore
from edgelora.cli import answer as cli_answer
from edgelora.cli.boundary import guarded
from edgelora.cli.root import root as command
from edgelora.engine.client import open_engine
from edgelora.server.options import ServerOptions
from tests.server.serving import local

if TYPE_CHECKING:
    from edgelora.types import AdapterFile, EngineConfig

SOURCES = Path(__file__).parent.parent.parent / "models" / "source" / "adapters"
PROMPT = "Tell me about the sea."
MIXTURE = "legal:0.5+second:-0.25"
OTHERS = [
    "first",
    "first:0.5",
    "first:-0.5",
    "kept",
    "kept@1",
    "kept@2:0.5",
    "another",
    "kept@1:0.5+first:0.5",
    "mine.gguf",
    "./mine.gguf:0.5",
    "./mine.gguf+second:0.5",
    "sources/legal:-3",
]
"""Adapters by name, with scales, mixed, by version and alias, by path, as a folder from PEFT."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, f32_base: Path) -> Path:
    root = tmp_path_factory.mktemp("root")
    write_adapter(root / "mine.gguf", f32_base, rank=8, strength=6.0, seed=7, dtype="float32")
    (root / "sources" / "legal").mkdir(parents=True)
    for file in (SOURCES / "legal").iterdir():
        (root / "sources" / "legal" / file.name).write_bytes(file.read_bytes())
    return root


@pytest.fixture(scope="module")
def strong(folder: Path, strong: dict[str, AdapterFile], f32_base: Path, root: Path) -> dict[str, AdapterFile]:
    """Also two versions of `kept`, which `another` means too."""
    store = AdapterStore(folder)
    for seed in (11, 12):
        made = write_adapter(root / "made.gguf", f32_base, rank=8, strength=6.0, seed=seed, dtype="float32")
        put(store, "kept", made.path.read_bytes())
    (root / "made.gguf").unlink()
    store.alias("another", "kept@1")
    return strong


@pytest.fixture(scope="module")
def options(root: Path) -> ServerOptions:
    return local(adapter_roots=(root,))


@pytest.fixture(autouse=True)
def _in_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def asked(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 10}


def said(client: openai.OpenAI, model: str) -> str:
    text: str = client.chat.completions.create(**asked(model)).choices[0].message.content or ""
    return text


def run(base: Path, model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """What `edgelora run` prints."""

    async def engine(config: EngineConfig, **more: Any) -> Any:
        return await open_engine(replace(exact_config(base), ctx=512), in_process=True)

    monkeypatch.setattr(cli_answer, "open_engine", engine)
    capfd.readouterr()
    arguments = ["run", PROMPT, "--base", str(base), "--adapter", model, "--max-tokens", "10", "--temperature", "0"]
    assert guarded(command, arguments) == 0
    return capfd.readouterr().out.rstrip("\n")


@pytest.mark.parametrize("model", ["base", MIXTURE, *(pytest.param(form, marks=pytest.mark.slow) for form in OTHERS)])
def test_it_is_what_edgelora_run_says(
    client: openai.OpenAI,
    f32_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    model: str,
) -> None:
    text = said(client, model)
    assert text.rstrip("\n") == run(f32_base, model, monkeypatch, capfd)
    assert (text == said(client, "base")) is (model == "base")


def test_the_base_and_adapters_on_it_have_more_names(client: openai.OpenAI, f32_base: Path) -> None:
    base, first = said(client, "base"), said(client, "first:0.5")
    for name in (f32_base.name, f32_base.stem):
        assert said(client, name) == base
        assert said(client, f"first:0.5#{name}") == first
    assert said(client, "first:0.5#base") == first != base


async def test_streams_side_by_side_say_the_same_in_every_form(client: openai.OpenAI) -> None:
    async with openai.AsyncOpenAI(base_url=client.base_url, api_key="x", max_retries=0, timeout=100) as other:

        async def streamed(model: str) -> str:
            stream: Any = await other.chat.completions.create(**asked(model), stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        models = ["base", MIXTURE, *OTHERS]
        alone = [await asyncio.to_thread(said, client, model) for model in models]
        assert await asyncio.gather(*map(streamed, models)) == alone
    assert len(set(alone)) == len(models) - 1  # `another` is `kept@1`
