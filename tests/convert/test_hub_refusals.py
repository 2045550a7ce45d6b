"""What the stand-in for the hub does not give, and what is said then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edgelora_convert.sources.hub.address import HubAddress
from edgelora_convert.sources.hub.fetch import fetch
from support.hub_cases import ADDRESS, WEIGHTS, gguf_of, refusal
from support.hub_server import COMMIT, Hub, use_endpoint

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    pass


def test_a_repository_that_is_not_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal(HubAddress("someone/else"))
    assert "no repository someone/else" in str(error)
    assert "no token" in str(error)
    monkeypatch.setenv("HF_TOKEN", "hf_stranger")
    assert "this token does not open it" in str(refusal(HubAddress("someone/else")))


def test_a_gated_repository(hub: Hub) -> None:
    hub.repos["someone/a-lora"].gated = True
    error = refusal()
    assert "gated" in error.problems[0]
    assert f"{hub.url}/someone/a-lora" in error.hint


def test_a_revision_that_is_not_there(hub: Hub) -> None:
    assert "no revision v9" in str(refusal(HubAddress("someone/a-lora", "v9")))


@pytest.mark.parametrize(
    ("status", "message", "words"),
    [
        (401, "Invalid credentials in Authorization header", "does not accept your token"),
        (403, "", "does not let you"),
        (429, "", "too many requests"),
        (500, "", "HTTP 500"),
        (410, "", "HTTP 410"),
    ],
)
def test_other_answers(hub: Hub, status: int, message: str, words: str) -> None:
    hub.trouble = lambda handler, request: handler.refuse(status, message=message) is None
    assert words in str(refusal())


def test_a_token_that_cannot_be_sent(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_é")
    assert "does not accept your token" in str(refusal())


def listing_of(**file: object) -> bytes:
    return json.dumps({"id": "someone/a-lora", "sha": COMMIT, "siblings": [file]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"[]",
        b'{"sha": "x", "siblings": []}',
        b"[" * 100_000,
        listing_of(),
        listing_of(rfilename=5, size=1),
        listing_of(rfilename=WEIGHTS, size="x"),
        listing_of(rfilename=WEIGHTS, size=10**400),
    ],
)
def test_something_else_than_a_hub(hub: Hub, body: bytes) -> None:
    hub.trouble = lambda handler, request: handler.send(request, body) is None
    assert "is no hub" in str(refusal())


def test_names_that_would_disturb_the_screen_are_left_out(hub: Hub) -> None:
    hub.repos["someone/a-lora"].files = {"\x1b[2Jnotes.txt": b"", "notes.txt": b""}
    assert str(refusal_without_hint()).endswith("only: notes.txt")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_none(hub: Hub, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(endpoint, monkeypatch)
    assert "HF_ENDPOINT" in refusal().hint


def test_a_whole_model_is_not_downloaded(hub: Hub) -> None:
    hub.repos["someone/a-lora"].files = {"llama-q4.gguf": gguf_of("model") * 3}
    assert "whole model" in str(refusal_without_hint())
    assert hub.sent("llama-q4.gguf") <= 64 * 1024


def refusal_without_hint() -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        fetch(ADDRESS)
    return caught.value


def test_sizes_are_said_before(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelora_convert.sources.hub.fetch.MAX_BYTES", 1000)
    assert "(0.3 MB) is larger than any adapter" in str(refusal_without_hint())


def test_a_full_disk_is_seen_before(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type("Usage", (), {"free": 200_000})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    assert "has room for 0.2 MB" in str(refusal())
    assert hub.sent(WEIGHTS) == 0


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("in the way")
    assert "cannot be written" in str(refusal())
