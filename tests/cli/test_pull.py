"""Bases and adapters from a stand-in for the hub."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import close_session, constants
from support.hub_server import COMMIT, Hub, Repo, serving, use_hub

from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Edgelora
    from support.hub_server import Handler, Request

MODELS = Path(__file__).parent.parent.parent / "models"
LEGAL = MODELS / "source" / "adapters" / "legal"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's attempts
    base, adapter = (MODELS / "demo.gguf").read_bytes(), (MODELS / "adapters" / "legal.gguf").read_bytes()
    repos = {
        "org/tiny-GGUF": Repo({"tiny-Q8_0.gguf": base, "other/tiny-Q4_K_M.gguf": base, "mmproj-tiny.gguf": b"GGUF"}),
        "org/lora": Repo({path.name: path.read_bytes() for path in LEGAL.iterdir()}),
        "org/lora-gguf": Repo({"skill.gguf": adapter}),
        "org/nothing": Repo({"README.md": b"---\n---\n"}),
    }
    with serving(Hub(repos)) as hub:
        use_hub(hub.url, tmp_path, monkeypatch)
        yield hub
    close_session()


def test_a_base_by_pattern_gets_a_name(edgelora: Edgelora, hub: Hub, tmp_path: Path) -> None:
    several = edgelora("pull", "org/tiny-GGUF")
    assert several.code == 1
    assert "2 files could be meant" in several.err
    assert "org/tiny-GGUF:tiny-Q8_0.gguf" in several.err
    assert edgelora("pull", "org/tiny-GGUF:*q4_k_m*").out == "tiny-q4_k_m\n"
    assert edgelora("pull", "org/tiny-GGUF:tiny-Q8_0.gguf", "--name", "tiny").out == "tiny\n"
    run = json.loads(edgelora("run", "Hello", "--max-tokens", 2, "--base", "tiny", "--json").out)
    path = Path(run["base"]["path"])
    assert path.is_relative_to(tmp_path / "hub" / "models--org--tiny-GGUF" / "snapshots" / COMMIT)
    sent = hub.sent("tiny-Q8_0.gguf")
    assert edgelora("pull", "org/tiny-GGUF:tiny-Q8_0.gguf", "--name", "tiny").out == "tiny\n"
    assert hub.sent("tiny-Q8_0.gguf") - sent < 100_000  # its head alone is read again


def test_another_revision_takes_the_name_over(edgelora: Edgelora, hub: Hub) -> None:
    hub.repos["org/tiny-GGUF"].revisions["v2"] = "beef" * 10
    assert edgelora("pull", "org/tiny-GGUF:*Q8_0*").out == "tiny-q8_0\n"
    assert edgelora("pull", "org/tiny-GGUF:*Q8_0*", "--revision", "v2").out == "tiny-q8_0\n"
    assert "beef" * 10 in edgelora("bases", "list").out


@pytest.mark.parametrize(("repo", "name"), [("org/lora", "lora"), ("org/lora-gguf", "lora-gguf-skill")])
def test_an_adapter_is_converted_on_arrival(edgelora: Edgelora, hub: Hub, repo: str, name: str) -> None:
    pulled = json.loads(edgelora("pull", repo, "--json").out)
    assert (pulled["name"], pulled["number"]) == (name, 1)
    origin = json.loads(edgelora("adapters", "info", name, "--json").out)["versions"]["1"]["origin"]
    assert origin["source"].startswith(repo)
    assert origin["commit"] == COMMIT
    run = json.loads(edgelora("run", "Hello", "--max-tokens", 2, "--adapter", name, "--json").out)
    assert run["selection"]["members"][0]["effect"] > 0.01
    assert edgelora("pull", repo).out == f"{name}@1\n"
    Path(pulled["path"]).unlink()
    advice = edgelora("adapters", "verify", "--no-probe").out.partition("Add it again: ")[2]
    assert edgelora(*shlex.split(advice)[1:]).out == f"{name}@1\n"
    assert edgelora("adapters", "verify", "--no-probe").code == 0
    told = read_header(pulled["path"])
    if pulled["report"]:
        assert told.metadata["general.name"] == name
        assert told.metadata["general.source.repo_url"] == f"https://huggingface.co/{repo}"
    else:
        assert pulled["sha256"] == file_sha256(MODELS / "adapters" / "legal.gguf")


def test_what_was_interrupted_goes_on(edgelora: Edgelora, hub: Hub) -> None:
    whole = len(hub.repos["org/tiny-GGUF"].files["tiny-Q8_0.gguf"])
    began: list[int] = []

    def cut(handler: Handler, request: Request) -> bool:
        if request.method != "GET" or not request.path.endswith("tiny-Q8_0.gguf") or request.range is not None:
            return False
        began.append(1)
        data = hub.repos["org/tiny-GGUF"].files["tiny-Q8_0.gguf"]
        handler.send(request, data, None, {"ETag": '"x"', "X-Repo-Commit": COMMIT}, cut=2_000_000)
        return True

    hub.trouble = cut
    assert edgelora("pull", "org/tiny-GGUF:*Q8_0*").code == 0
    assert began
    assert hub.sent("tiny-Q8_0.gguf") < whole + 1_000_000


def test_what_an_ended_run_has_left_is_gone_on_with(edgelora: Edgelora, hub: Hub, tmp_path: Path) -> None:
    whole = len(hub.repos["org/tiny-GGUF"].files["tiny-Q8_0.gguf"])

    def cut(handler: Handler, request: Request) -> bool:
        """The first 2 MB, and nothing to those who come for the rest."""
        is_head = request.range is not None and request.range.startswith("bytes=0-")
        if request.method != "GET" or not request.path.endswith("tiny-Q8_0.gguf") or is_head:
            return False
        if request.range is not None:
            handler.refuse(403)
            return True
        data = hub.repos["org/tiny-GGUF"].files["tiny-Q8_0.gguf"]
        handler.send(request, data, None, {"ETag": '"x"', "X-Repo-Commit": COMMIT}, cut=2_000_000)
        return True

    hub.trouble = cut
    assert edgelora("pull", "org/tiny-GGUF:*Q8_0*").code == 1
    before, hub.trouble = hub.sent("tiny-Q8_0.gguf"), None
    assert edgelora("pull", "org/tiny-GGUF:*Q8_0*").code == 0
    assert hub.sent("tiny-Q8_0.gguf") - before < whole - 1_000_000
    blobs = tmp_path / "hub" / "models--org--tiny-GGUF" / "blobs"
    assert not list(blobs.glob("*.incomplete"))


def test_what_came_damaged_is_thrown_away(edgelora: Edgelora, hub: Hub) -> None:
    data = hub.repos["org/tiny-GGUF"].files["tiny-Q8_0.gguf"]

    def spoil(handler: Handler, request: Request) -> bool:
        if request.method != "GET" or not request.path.endswith("tiny-Q8_0.gguf") or request.range is not None:
            return False
        handler.send(request, data[:-1] + bytes([data[-1] ^ 1]), None, {"ETag": '"x"', "X-Repo-Commit": COMMIT})
        return True

    hub.trouble = spoil
    outcome = edgelora("pull", "org/tiny-GGUF:*Q8_0*")
    assert outcome.code == 1
    assert "what came as tiny-Q8_0.gguf is damaged" in outcome.err
    assert "tiny-q8_0" not in edgelora("bases", "list").out
    hub.trouble = None
    assert edgelora("pull", "org/tiny-GGUF:*Q8_0*").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("tiny",), 2, "is no repository"),
        (("org/none",), 1, "cannot pull org/none: no repository org/none"),
        (("org/nothing",), 1, "there is no GGUF and no adapter in it"),
        (("org/tiny-GGUF:*Q2_K*",), 1, r"is called \*Q2_K\*"),
        (("org/tiny-GGUF", "--revision", "v9"), 1, "no revision v9"),
        (("org/lora", "--name", "A b"), 2, "no base or adapter name"),
    ],
)
def test_what_cannot_be_is_one_message(
    edgelora: Edgelora, hub: Hub, arguments: tuple[str, ...], code: int, says: str
) -> None:
    import re

    outcome = edgelora("pull", *arguments)
    assert (outcome.code, bool(re.search(says, outcome.err))) == (code, True), outcome.err


def test_a_base_in_parts_is_one_base(edgelora: Edgelora, hub: Hub, demo_base: Path, tmp_path: Path) -> None:
    from support.split_gguf import split_gguf

    (tmp_path / "parts").mkdir()
    parts = split_gguf(demo_base, tmp_path / "parts", 3)
    repo = hub.repos["org/parts"] = Repo({path.name: path.read_bytes() for path in parts})
    pulled = edgelora("pull", "org/parts")
    assert (pulled.code, pulled.out) == (0, "demo-2\n"), pulled.err
    path = Path(json.loads(edgelora("bases", "info", "demo-2", "--json").out)["path"])
    assert edgelora("run", "Hello", "--max-tokens", 2, "--base", "demo-2").code == 0
    assert [each.name for each in sorted(path.parent.iterdir())] == [part.name for part in parts]
    del repo.files[parts[1].name]
    assert "is not in the repository" in edgelora("pull", "org/parts").err


@pytest.mark.parametrize(
    ("name", "says"), [("My Base", "no base or"), ("auto", "no base or"), ("demo", "embedded demo")]
)
def test_a_name_that_cannot_be_is_said_before_anything_is_fetched(
    edgelora: Edgelora, hub: Hub, name: str, says: str
) -> None:
    outcome = edgelora("pull", "org/tiny-GGUF:tiny-Q8_0.gguf", "--name", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert says in outcome.err
    assert hub.sent("tiny-Q8_0.gguf") < 100_000
