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
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from edgelora_convert.sources.hub import transfer
from edgelora_convert.sources.hub.address import HubAddress, parse_address
from edgelora_convert.sources.hub.fetch import fetch
from edgelora_convert.sources.hub.selection import select
from huggingface_hub import (
    close_session,
    constants,
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.utils import validate_repo_id
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter
from hypothesis import given
from hypothesis import strategies as st
from support.hub_server import COMMIT, Hub, Repo, serving, use_endpoint, use_hub

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
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's attempts
    with serving(Hub({"someone/a-lora": Repo(dict(ADAPTER))})) as hub:
        use_hub(hub.url, tmp_path, monkeypatch)
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
        if request.method != "GET" or not request.path.endswith(name):
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
    assert len(set(done)) > 3, "the weights come in several steps"


def test_a_second_time_asks_only_what_there_is(hub: Hub) -> None:
    first = fetch(ADDRESS)
    hub.requests.clear()
    seen: list[Progress] = []
    assert fetch(ADDRESS, seen.append) == first
    assert seen[-1].done == seen[-1].total
    assert {request.path for request in hub.requests} == {"/api/models/someone/a-lora/revision/main"}


def test_the_cache_is_the_one_of_huggingface_hub(hub: Hub) -> None:
    folder = fetch(ADDRESS).path
    there = try_to_load_from_cache("someone/a-lora", WEIGHTS, constants.HF_HUB_CACHE)
    assert there == str(folder / WEIGHTS)
    [repo] = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert {ref for revision in repo.revisions for ref in revision.refs} == {"main"}
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
        hub.cdn = cdn.url.replace("127.0.0.1", "localhost")  # another host
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


def test_a_weights_file_by_its_path(hub: Hub) -> None:
    hub.repos["someone/a-lora"].files["last.safetensors"] = b"weights"
    found = fetch(HubAddress("someone/a-lora", subfolder="last.safetensors"))
    assert (found.name, found.path.read_bytes()) == ("a-lora-last", b"weights")
    assert (found.path.parent / "adapter_config.json").exists()


def test_bytes_that_xet_counts_twice_are_reported_once() -> None:
    seen: list[int] = []
    report = SimpleNamespace(
        total_bytes=10,
        total_bytes_completed=10,
        total_bytes_completion_rate=1.0,
        total_transfer_bytes_completed=7,
        total_transfer_bytes_completion_rate=1.0,
    )
    with XetDownloadProgressReporter(
        reconstruction_desc="x", total=10, log_level=0, tqdm_class=transfer._bar(seen.append)
    ) as bars:
        bars.update_progress(report)
    assert seen == [10]


# --- interruptions


def test_what_has_come_is_not_asked_for_again_when_the_connection_drops(hub: Hub) -> None:
    pieces = iter([100_000, 50_000, 0])
    hub.trouble = only_at(WEIGHTS, lambda handler, request: cut_after(next(pieces, 300_000))(handler, request))
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert hub.sent(WEIGHTS) == len(ADAPTER[WEIGHTS])
    ranges = [request.range for request in hub.requests if request.method == "GET" and request.path.endswith(WEIGHTS)]
    assert ranges == [None, "bytes=100000-", "bytes=150000-", "bytes=150000-"]


def test_an_interrupted_run_leaves_only_whole_files_and_the_next_one_asks_for_the_rest(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(ADDRESS, interrupt)
    files = {path.name for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()}
    assert not [name for name in files if "incomplete" in name]
    assert WEIGHTS not in files
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "no complete copy" in refusal().problems[0]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.requests.clear()
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    asked = {request.path.rpartition("/")[2] for request in hub.requests if "/resolve/" in request.path}
    assert asked == {WEIGHTS}


def test_a_server_that_cannot_continue_sends_it_again(hub: Hub) -> None:
    pieces = iter([100_000])

    def forgetful(handler: Handler, request: Request) -> None:
        handler.send(request, ADAPTER[WEIGHTS], cut=next(pieces, -1))

    hub.trouble = only_at(WEIGHTS, forgetful)
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


def test_a_connection_that_brings_nothing_is_given_up(hub: Hub) -> None:
    hub.trouble = only_at(WEIGHTS, cut_after(0))
    assert "broke off" in refusal().problems[0]


@pytest.mark.parametrize(("status", "words"), [(503, "HTTP 503"), (403, "does not let you have it")])
def test_a_hub_that_lists_but_does_not_send(hub: Hub, status: int, words: str) -> None:
    hub.trouble = lambda handler, request: "/resolve/" in request.path and handler.refuse(status) is None
    assert words in refusal().problems[0]


def test_a_hub_in_trouble_for_a_moment(hub: Hub) -> None:
    answers = iter([503, 500])

    def stumble(handler: Handler, request: Request) -> bool:
        status = next(answers, None) if request.path.endswith(WEIGHTS) else None
        if status:
            handler.refuse(status)
        return status is not None

    hub.trouble = stumble
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


@pytest.mark.parametrize("body", [ADAPTER[WEIGHTS][:-1], ADAPTER[WEIGHTS] + b"more"], ids=["shorter", "longer"])
def test_another_size_than_announced_is_thrown_away(hub: Hub, body: bytes) -> None:
    hub.trouble = only_at(WEIGHTS, lambda handler, request: handler.send(request, body, request.range))
    assert "not as large as the hub had announced" in refusal().problems[0]
    hub.trouble = None
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]


def test_two_at_once_download_it_once(hub: Hub) -> None:
    begun = threading.Event()

    def notice(handler: Handler, request: Request) -> None:
        begun.set()
        threading.Event().wait(0.2)
        handler.send(request, ADAPTER[WEIGHTS])

    hub.trouble = only_at(WEIGHTS, notice)
    first = threading.Thread(target=fetch, args=(ADDRESS,))
    first.start()
    assert begun.wait(10)
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    first.join()
    assert hub.sent(WEIGHTS) == len(ADAPTER[WEIGHTS])


# --- without a hub


def test_offline_takes_the_copy_and_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fetch(ADDRESS)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = fetch(ADDRESS)
    assert (found.path, found.commit, hub.requests) == (before.path, before.commit, [])
    assert "HF_HUB_OFFLINE" in found.note
    assert COMMIT[:7] in found.note


def one_by_one(names: list[str]) -> None:
    for name in names:
        hf_hub_download("someone/a-lora", name)


def part_of_all(names: list[str]) -> None:
    snapshot_download("someone/a-lora", allow_patterns=names)


@pytest.mark.parametrize("downloads", [one_by_one, part_of_all])
def test_offline_takes_what_other_programs_have_downloaded(
    hub: Hub, downloads: Callable[[list[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads(["adapter_config.json", WEIGHTS])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert {path.name for path in fetch(ADDRESS).path.iterdir()} == {"adapter_config.json", WEIGHTS}


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
            use_endpoint(f"http://127.0.0.1:{free.getsockname()[1]}", monkeypatch)
    elif kind == "busy":
        hub.trouble = lambda handler, request: handler.refuse(503) is None
    else:
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
        hub.trouble = lambda handler, request: threading.Event().wait(0.5)


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
    assert "only has 0.20 MB free disk space" in str(refusal())
    assert hub.sent(WEIGHTS) == 0


def test_a_cache_that_cannot_be_written(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("in the way")
    assert "cannot be written" in str(refusal())


# --- which files


@pytest.mark.parametrize(
    ("files", "folder", "taken"),
    [
        ([WEIGHTS, "adapter_model.bin"], "", [WEIGHTS]),
        (["adapter_model.bin", "adapter_config.json"], "", ["adapter_config.json", "adapter_model.bin"]),
        (["adapters.safetensors", "0000100_adapters.safetensors"], "", ["adapters.safetensors"]),
        (["mine.safetensors", "adapter_config.json"], "", ["adapter_config.json", "mine.safetensors"]),
        (
            ["adapter_config.json", "mine.safetensors", "model.safetensors"],
            "",
            ["adapter_config.json", "mine.safetensors"],
        ),
        (
            ["a/adapter_config.json", "a/1_adapters.safetensors", "a/2_adapters.safetensors"],
            "a/2_adapters.safetensors",
            ["a/adapter_config.json", "a/2_adapters.safetensors"],
        ),
        (["x.gguf", WEIGHTS], "", [WEIGHTS]),
        ([WEIGHTS, "adapter_config.json"], "adapter_config.json", ["adapter_config.json", WEIGHTS]),
        (["x.gguf", "adapter_config.json.md"], "", ["x.gguf"]),
        (["a/x.gguf", "a/y.gguf", "a/README.md"], "a/y.gguf", ["a/y.gguf"]),
        (["a/README.md", f"a/{WEIGHTS}", "README.md"], "a", ["a/README.md", f"a/{WEIGHTS}"]),
    ],
)
def test_what_is_taken(files: list[str], folder: str, taken: list[str]) -> None:
    assert select(files, HubAddress("a/b", subfolder=folder)) == taken


@pytest.mark.parametrize(
    ("files", "folder", "words"),
    [
        (
            ["a/adapter_config.json", "checkpoint-50/adapter_config.json", "checkpoint-6/x", f"checkpoint-6/{WEIGHTS}"],
            "",
            "a, checkpoint-6, checkpoint-50",
        ),
        (["a/adapter_config.json"], "b", "no adapter in b, but in a"),
        (["model.safetensors", "config.json"], "", "it holds a whole model"),
        (["model.safetensors", "adapter_config.json"], "", "it holds a whole model"),
        (["x-f16.gguf", "x-q8_0.gguf"], "", "several files at the top of the repository could be the adapter"),
        (["a/adapter_config.json", "a/x.safetensors", "a/y.safetensors"], "a", "several files in a could be"),
        (["notes.txt"], "", "only: notes.txt"),
        (["notes.txt"], "notes.txt", "only: notes.txt"),
        (["notes.txt"], "b", "no folder b"),
        (["adapter_config.json", "adapter_model-1-of-2.safetensors"], "", "split into shards"),
        ([], "", "only: nothing"),
    ],
)
def test_what_there_is_instead(files: list[str], folder: str, words: str) -> None:
    with pytest.raises(ConversionError) as caught:
        select(files, HubAddress("a/b", subfolder=folder))
    assert words in caught.value.problems[0]


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
        ("https://huggingface.co/org/repo/resolve/v1/a/x.safetensors", HubAddress("org/repo", "v1", "a/x.safetensors")),
        ("https://huggingface.co/datasets/org/repo", None),
        *((text, None) for text in ("repo", "./org/repo", "org/repo/", "a/b/c", "~/x", "org/x.gguf", "org/a--b")),
        *((text, None) for text in ("org/..", "org/-a", "", "/", "org/a.git", "https://example.org/a/b")),
    ],
)
def test_what_an_address_is(text: str, expected: HubAddress | None) -> None:
    assert parse_address(text) == expected


@given(st.text("ab-._/%:", max_size=20))
def test_an_address_is_what_the_library_takes(text: str) -> None:
    address = parse_address(text)
    if address is not None:
        validate_repo_id(address.repo)


@pytest.mark.parametrize("revision", ["../x", "a\nb", "-x", "/etc"])
def test_a_revision_that_cannot_be_one(revision: str) -> None:
    with pytest.raises(UsageError):
        parse_address("org/repo", revision)


def test_what_is_given_beside_a_link_wins() -> None:
    link = "https://huggingface.co/org/repo/tree/v1/a"
    assert parse_address(link, "v2", "b/") == HubAddress("org/repo", "v2", "b")


@pytest.mark.parametrize("subfolder", ["..", "a/../b", "/etc"])
def test_no_subfolder_leaves_the_repository(hub: Hub, subfolder: str) -> None:
    address = parse_address("someone/a-lora", None, subfolder)
    assert address is not None
    with pytest.raises(ConversionError, match="there is no"):
        fetch(address)


# --- from outside


@pytest.mark.parametrize("bars", [{"HF_HUB_DISABLE_PROGRESS_BARS": "1"}, {"TQDM_POSITION": "-1"}], ids=["off", "on"])
def test_the_environment_is_enough_and_nothing_is_printed(hub: Hub, tmp_path: Path, bars: dict[str, str]) -> None:
    pieces = iter([100_000])
    hub.trouble = only_at(WEIGHTS, lambda handler, request: cut_after(next(pieces, 300_000))(handler, request))
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_mine"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"} | bars
    code = (
        "from edgelora_convert.sources.hub.fetch import fetch\n"
        "from edgelora_convert.sources.hub.address import HubAddress\n"
        "seen = []\n"
        "print(fetch(HubAddress('someone/a-lora'), seen.append).path)\n"
        "assert len(seen) > 4, 'more than the ends of the files'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path / "home" / "hub"))
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert {request.token for request in hub.requests} == {"hf_mine"}
