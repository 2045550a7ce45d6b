"""Downloads from a stand-in for the hub, in a cache of the test's own."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edgelora_convert.sources.hub import download as downloading
from edgelora_convert.sources.hub.address import HubAddress, parse_address
from edgelora_convert.sources.hub.client import HubClient, HubFile, NotAHub, read_listing
from edgelora_convert.sources.hub.fetch import fetch
from edgelora_convert.sources.hub.selection import NothingToConvert, Selection, select
from huggingface_hub import HfApi, close_session, constants, scan_cache_dir, try_to_load_from_cache
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st
from support.hub_server import COMMIT, Hub, Repo, serving

from edgelora.errors import ConversionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.hub_server import Handler, Request

    from edgelora.types import Progress

WEIGHTS = "adapter_model.safetensors"
ADDRESS = HubAddress("someone/a-lora")
ADAPTER = {
    "adapter_config.json": b"{}",
    WEIGHTS: os.urandom(300_000),
    "README.md": b"---\n---\n",
    "tokenizer_config.json": b"{ }",
    "optimizer.pt": b"no",
    "training_args.bin": b"no",
    "checkpoint-10/adapter_model.safetensors": b"no",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(downloading, "PAUSE_S", 0.0)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(Hub({"someone/a-lora": Repo(dict(ADAPTER))})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub
    close_session()


def refusal(address: HubAddress = ADDRESS) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        fetch(address)
    assert len(caught.value.problems) == 1
    assert caught.value.hint
    return caught.value


def only_at(name: str, answer: Callable[[Handler, Request], None]) -> Callable[[Handler, Request], bool]:
    """Trouble for requests of that file."""

    def trouble(handler: Handler, request: Request) -> bool:
        if not request.path.endswith(name):
            return False
        answer(handler, request)
        return True

    return trouble


def cut_after(count: int) -> Callable[[Handler, Request], None]:
    return lambda handler, request: handler.send(request, ADAPTER[WEIGHTS], request.range, cut=count)


# --- what is fetched


def test_what_a_conversion_needs_and_nothing_else(hub: Hub) -> None:
    seen: list[Progress] = []
    found = fetch(ADDRESS, seen.append)
    names = {"adapter_config.json", WEIGHTS, "README.md", "tokenizer_config.json"}
    assert {path.name: path.read_bytes() for path in found.path.iterdir()} == {name: ADAPTER[name] for name in names}
    assert (found.name, found.commit, found.note) == ("a-lora", COMMIT, "")
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total == sum(len(ADAPTER[name]) for name in names)
    assert {progress.unit for progress in seen} == {"bytes"}


def test_a_second_time_asks_only_what_there_is(hub: Hub) -> None:
    first = fetch(ADDRESS)
    hub.requests.clear()
    assert fetch(ADDRESS) == first
    assert [request.path for request in hub.requests] == ["/api/models/someone/a-lora/revision/main"]


def test_the_cache_is_the_one_of_huggingface_hub(hub: Hub) -> None:
    folder = fetch(ADDRESS).path
    there = try_to_load_from_cache("someone/a-lora", WEIGHTS, constants.HF_HUB_CACHE)
    assert there == str(folder / WEIGHTS)
    [repo] = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert {file.file_name for revision in repo.revisions for file in revision.files} == {
        p.name for p in folder.iterdir()
    }


def test_contents_of_an_earlier_commit_are_not_downloaded_again(hub: Hub) -> None:
    fetch(ADDRESS)
    hub.repos["someone/a-lora"].revisions["main"] = "d" * 40
    hub.repos["someone/a-lora"].files["README.md"] = b"changed"
    hub.requests.clear()
    found = fetch(ADDRESS)
    assert (found.path / "README.md").read_bytes() == b"changed"
    assert (found.path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert found.commit == "d" * 40
    assert hub.sent(WEIGHTS) == 0


def test_a_revision_and_a_subfolder(hub: Hub) -> None:
    hub.repos["someone/a-lora"].revisions["v2"] = "d" * 40
    found = fetch(HubAddress("someone/a-lora", "v2", "checkpoint-10"))
    assert [path.name for path in found.path.iterdir()] == [WEIGHTS]
    assert (found.name, found.commit) == ("a-lora-checkpoint-10", "d" * 40)


@pytest.mark.parametrize("source", ["environment", "file"])
def test_the_token_opens_what_is_private_and_stays_with_the_hub(
    hub: Hub, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["someone/a-lora"].token = "hf_secret"
    if source == "environment":
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
    else:
        (tmp_path / "token").write_text("hf_secret\n")
    with serving(Hub({"someone/a-lora": Repo(dict(ADAPTER))})) as cdn:
        hub.cdn = cdn.url
        assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert [request.token for request in cdn.requests] == [None]


def test_a_gguf_adapter_alone(hub: Hub) -> None:
    gguf = gguf_of("adapter")
    hub.repos["someone/a-lora"].files = {"lora-f16.gguf": gguf, "README.md": b""}
    found = fetch(ADDRESS)
    assert (found.path.name, found.path.read_bytes()) == ("lora-f16.gguf", gguf)


def gguf_of(kind: str) -> bytes:
    texts = {"general.architecture": "llama", "general.type": kind}
    entries = b"".join(packed(key) + struct.pack("<I", 8) + packed(text) for key, text in texts.items())
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(texts)) + entries + b"\0" * 100_000


def packed(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def test_the_listing_is_what_the_library_reads(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    theirs = HfApi(endpoint=hub.url).model_info("someone/a-lora", revision="main", files_metadata=True)
    ours = HubClient().list_files(ADDRESS)
    assert ours.commit == theirs.sha
    for sibling in theirs.siblings or ():
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        assert ours.files[sibling.rfilename] == HubFile(sibling.rfilename, sibling.size or 0, digest or "")


# --- interruptions


def test_what_has_come_is_not_asked_for_again_when_the_connection_drops(hub: Hub) -> None:
    pieces = iter([100_000, 50_000, 0])
    hub.trouble = only_at(WEIGHTS, lambda handler, request: cut_after(next(pieces, 300_000))(handler, request))
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert hub.sent(WEIGHTS) == len(ADAPTER[WEIGHTS])


def test_an_interrupted_download_continues_the_next_time(hub: Hub) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done > 100_000:
            raise KeyboardInterrupt

    hub.trouble = only_at(WEIGHTS, cut_after(150_000))
    with pytest.raises(KeyboardInterrupt):
        fetch(ADDRESS, interrupt)
    hub.trouble = None
    hub.requests.clear()
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert 0 < hub.sent(WEIGHTS) < len(ADAPTER[WEIGHTS]) - 100_000


def test_a_server_that_cannot_continue_sends_it_again(hub: Hub) -> None:
    pieces = iter([100_000])

    def forgetful(handler: Handler, request: Request) -> None:
        handler.send(request, ADAPTER[WEIGHTS], cut=next(pieces, -1))

    hub.trouble = only_at(WEIGHTS, forgetful)
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


def test_a_connection_that_brings_nothing_is_given_up(hub: Hub) -> None:
    hub.trouble = only_at(WEIGHTS, cut_after(0))
    assert "broke off" in refusal().problems[0]
    assert sum(request.path.endswith(WEIGHTS) for request in hub.requests) == downloading.ATTEMPTS


def test_a_hub_in_trouble_for_a_moment(hub: Hub) -> None:
    answers = iter([503, 500])

    def stumble(handler: Handler, request: Request) -> bool:
        status = next(answers, None) if request.path.endswith(WEIGHTS) else None
        if status:
            handler.refuse(status)
        return status is not None

    hub.trouble = stumble
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


@pytest.mark.parametrize("body", [ADAPTER[WEIGHTS][:-1] + b"x", ADAPTER[WEIGHTS] + b"more"], ids=["wrong", "longer"])
def test_other_bytes_than_announced_are_thrown_away(hub: Hub, body: bytes) -> None:
    hub.trouble = only_at(WEIGHTS, lambda handler, request: handler.send(request, body, request.range))
    assert "not the file that the hub had announced" in refusal().problems[0]
    hub.trouble = None
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


def test_two_at_once_do_not_write_the_same_file(hub: Hub) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait(handler: Handler, request: Request) -> None:
        reached.set()
        go_on.wait(10)
        handler.send(request, ADAPTER[WEIGHTS])

    hub.trouble = only_at(WEIGHTS, wait)
    first = threading.Thread(target=fetch, args=(ADDRESS,))
    first.start()
    assert reached.wait(10)
    assert "another process is downloading it" in refusal().problems[0]
    go_on.set()
    first.join()
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


# --- without a hub


def test_offline_takes_the_copy_and_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fetch(ADDRESS)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = fetch(ADDRESS)
    assert (found.path, found.commit, hub.requests) == (before.path, before.commit, [])
    assert "HF_HUB_OFFLINE" in found.note
    assert COMMIT[:7] in found.note


@pytest.mark.parametrize("trouble", ["gone", "busy", "silent"])
def test_without_network_it_takes_the_copy(hub: Hub, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fetch(ADDRESS)
    make_trouble(trouble, hub, monkeypatch)
    found = fetch(ADDRESS)
    assert found.path == before.path
    assert "copy of the last download" in found.note


@pytest.mark.parametrize(
    ("trouble", "words"), [("gone", "cannot be reached"), ("busy", "HTTP 503"), ("silent", "does not answer")]
)
def test_without_network_and_copy(hub: Hub, trouble: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_trouble(trouble, hub, monkeypatch)
    [problem] = refusal().problems
    assert words in problem
    assert "no complete copy" in problem


def make_trouble(kind: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "gone":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    elif kind == "busy":
        hub.trouble = lambda handler, request: handler.refuse(503) is None
    else:
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
        hub.trouble = lambda handler, request: threading.Event().wait(0.5)


def test_half_a_download_is_no_copy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.trouble = only_at(WEIGHTS, cut_after(0))
    refusal()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "no complete copy" in refusal().problems[0]


# --- refusals


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


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b'{"sha": "x", "siblings": []}', b"[" * 100_000])
def test_something_else_than_a_hub(hub: Hub, body: bytes) -> None:
    hub.trouble = lambda handler, request: handler.send(request, body) is None
    assert "is no hub" in str(refusal())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from([COMMIT, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
FIELDS = {"rfilename": "x.bin", "size": 5, "blobId": "b" * 40, "lfs": {"sha256": "c" * 64, "size": 5}}


@given(st.sampled_from([*FIELDS, "sha", "siblings", "sha256"]), JSON)
def test_a_listing_that_makes_no_sense_is_no_listing(field: str, value: object) -> None:
    lfs = {**FIELDS["lfs"], field: value} if field in ("sha256", "size") else FIELDS["lfs"]
    answer = {"sha": COMMIT, "siblings": [FIELDS | {"lfs": lfs, field: value}]} | {field: value}
    try:
        listing = read_listing(json.dumps(answer).encode())
    except NotAHub:
        return
    assert listing.commit == COMMIT
    assert all(path.isprintable() and file.size < 2**63 for path, file in listing.files.items())


@pytest.mark.parametrize("endpoint", ["nonsense", "http://[", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_none(hub: Hub, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert "HF_ENDPOINT" in refusal().hint


def test_a_whole_model_is_not_downloaded(hub: Hub) -> None:
    hub.repos["someone/a-lora"].files = {"model-q4.gguf": gguf_of("model") * 3}
    assert "whole model" in str(refusal_without_hint())
    assert hub.sent("model-q4.gguf") <= 64 * 1024


def refusal_without_hint() -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        fetch(ADDRESS)
    return caught.value


def test_sizes_are_said_before(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelora_convert.sources.hub.fetch.MAX_WEIGHTS_BYTES", 1000)
    assert "0.3 MB, more than any adapter" in str(refusal_without_hint())


def test_a_full_disk_is_seen_before(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type("Usage", (), {"free": 200_000})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    assert "room for 0.2 MB" in str(refusal())
    assert hub.sent(WEIGHTS) == 0


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert "cannot be written" in str(refusal())


# --- which files


@pytest.mark.parametrize(
    ("files", "folder", "weights"),
    [
        ([WEIGHTS, "adapter_model.bin"], "", WEIGHTS),
        (["adapter_model.bin", "adapter_config.json"], "", "adapter_model.bin"),
        (["adapters.safetensors", "0000100_adapters.safetensors"], "", "adapters.safetensors"),
        (["x.gguf", WEIGHTS], "", WEIGHTS),
        (["a/x.gguf", "a/y.gguf"], "a/y.gguf", "a/y.gguf"),
        (["adapter_config.json", "mine.safetensors", "model.safetensors"], "", "mine.safetensors"),
        (
            ["a/adapter_config.json", "a/000100_adapters.safetensors"],
            "a/000100_adapters.safetensors",
            "a/000100_adapters.safetensors",
        ),
        (["adapter_config.json", "adapter_model-00001-of-00002.safetensors"], "", None),
    ],
)
def test_which_weights_are_taken(files: list[str], folder: str, weights: str | None) -> None:
    assert select(files, folder).weights == weights


@pytest.mark.parametrize(
    ("files", "folder", "words"),
    [
        (
            ["a/adapter_config.json", "checkpoint-5/adapter_config.json", "b/c/adapters.safetensors"],
            "",
            "a, b/c, check",
        ),
        (["a/adapter_config.json"], "b", "no adapter in b, but in a"),
        (["model.safetensors", "config.json"], "", "whole model (model.safetensors)"),
        (["x-f16.gguf", "x-q8_0.gguf"], "", "several GGUF files"),
        (["notes.txt"], "", "only notes.txt"),
        (["notes.txt"], "notes.txt", "notes.txt does not hold"),
        (["a/adapter_config.json", "a/x.safetensors", "a/y.safetensors"], "a", "several files.*a/x.safetensors, a/y"),
        (["notes.txt"], "b", "no folder b"),
        ([], "", "it is empty"),
    ],
)
def test_what_there_is_instead(files: list[str], folder: str, words: str) -> None:
    with pytest.raises(NothingToConvert, match=words.replace("(", r"\(").replace(")", r"\)")):
        select(files, folder)


def test_a_file_that_is_not_alone_brings_what_is_beside_it(hub: Hub) -> None:
    files = {"a/adapter_config.json": b"{}", "a/100_adapters.safetensors": b"100", "a/200_adapters.safetensors": b"200"}
    hub.repos["someone/a-lora"].files = files
    found = fetch(HubAddress("someone/a-lora", "main", "a/100_adapters.safetensors"))
    assert found.path.read_bytes() == b"100"
    assert {path.name for path in found.path.parent.iterdir()} == {"adapter_config.json", "100_adapters.safetensors"}
    assert found.name == "a-lora-100_adapters"


def test_weights_come_last() -> None:
    assert Selection("w", ("a", "b")).paths == ("a", "b", "w")


# --- addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/repo", HubAddress("org/repo")),
        ("https://huggingface.co/org/repo", HubAddress("org/repo")),
        (str(Path("https://huggingface.co/org/repo/")), HubAddress("org/repo")),
        ("https://huggingface.co/org/repo/tree/v1/sub/two?x=1", HubAddress("org/repo", "v1", "sub/two")),
        ("https://hf.co/org/repo/tree/refs%2Fpr%2F1/", HubAddress("org/repo", "refs/pr/1")),
        ("https://huggingface.co/org/repo/blob/main/a/x.gguf", HubAddress("org/repo", "main", "a/x.gguf")),
        ("https://huggingface.co/org/repo/blob/main/x.safetensors", HubAddress("org/repo", "main", "x.safetensors")),
        ("https://huggingface.co/org/repo/blob/main/a/adapter_model.bin", HubAddress("org/repo", "main", "a")),
        ("https://huggingface.co/org/repo/blob/main/a/adapter_config.json", HubAddress("org/repo", "main", "a")),
        *((text, None) for text in ("repo", "./org/repo", "org/repo/", "a/b/c", "~/x", "org/x.gguf", "org/a--b")),
        *((text, None) for text in ("org/..", "org/-a", "örg/repo", "", "/", "org/a.git", "https://example.org/a/b")),
    ],
)
def test_what_an_address_is(text: str, expected: HubAddress | None) -> None:
    assert parse_address(text) == expected


@given(st.text("ab-._/%:", max_size=20))
def test_an_address_is_what_the_library_takes(text: str) -> None:
    address = parse_address(text)
    if address is not None:
        validate_repo_id(address.repo)


@pytest.mark.parametrize("revision", ["../x", "a b", "-x", ""])
def test_no_revision_leaves_the_cache(revision: str) -> None:
    if revision:
        with pytest.raises(UsageError):
            parse_address("org/repo", revision)
    else:
        assert parse_address("org/repo", revision) == HubAddress("org/repo")


@pytest.mark.parametrize("subfolder", ["..", "a/../b", "/etc", "a\nb"])
def test_no_subfolder_leaves_the_repository(subfolder: str) -> None:
    with pytest.raises(UsageError):
        parse_address("org/repo", None, subfolder)


# --- from outside


def test_the_environment_is_enough_and_nothing_is_printed(hub: Hub, tmp_path: Path) -> None:
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_mine"}
    code = (
        "from edgelora_convert.sources.hub.fetch import fetch\n"
        "from edgelora_convert.sources.hub.address import HubAddress\n"
        "print(fetch(HubAddress('someone/a-lora')).path)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(tmp_path / "home" / "hub"))
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert {request.token for request in hub.requests} == {"hf_mine"}
