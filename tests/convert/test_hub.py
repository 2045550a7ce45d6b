"""Downloads from a stand-in for the hub, in a cache of the test's own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

import pytest
from edgelora_convert.sources.hub import resuming, transfer
from edgelora_convert.sources.hub.address import HubAddress
from edgelora_convert.sources.hub.fetch import fetch
from huggingface_hub import (
    constants,
    hf_hub_download,
    scan_cache_dir,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter
from support.hub_cases import ADAPTER, ADDRESS, WEIGHTS, cut_after, gguf_of, only_at, refusal
from support.hub_server import COMMIT, Hub, Repo, serving, use_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.hub_server import Handler, Request

    from edgelora.types import Progress


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


def test_an_interrupted_run_leaves_what_came_and_the_next_one_asks_for_the_rest(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done > 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(ADDRESS, interrupt)
    files = {path.name: path.stat().st_size for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()}
    (came,) = (size for name, size in files.items() if "incomplete" in name)
    assert 0 < came < len(ADAPTER[WEIGHTS])
    assert WEIGHTS not in files
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "no complete copy" in refusal().problems[0]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.requests.clear()
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    asked = {request.path.rpartition("/")[2] for request in hub.requests if "/resolve/" in request.path}
    assert asked == {WEIGHTS}
    assert f"bytes={came}-" in {request.range for request in hub.requests}


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


def test_who_has_waited_goes_on_where_the_other_was_interrupted(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_meanwhile(file: BinaryIO, operation: int) -> None:
        Path(file.name).write_bytes(ADAPTER[WEIGHTS][:100_000])
        fcntl.flock(file, operation)

    monkeypatch.setattr(resuming, "fcntl", SimpleNamespace(**{**vars(fcntl), "flock": other_meanwhile}))
    assert (fetch(ADDRESS).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert hub.sent(WEIGHTS) == len(ADAPTER[WEIGHTS]) - 100_000


def test_that_another_process_is_waited_for_is_said_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "_PATIENCE_S", 0)
    folder = Path(constants.HF_HUB_CACHE) / "models--someone--a-lora" / "blobs"
    folder.mkdir(parents=True)
    sha256 = hashlib.sha256(ADAPTER[WEIGHTS]).hexdigest()
    with (folder / f"{sha256}.edgelora.incomplete").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as a download that was stopped holds it
        stages: list[str] = []

        def report(progress: Progress) -> None:
            stages.append(progress.stage)
            if progress.stage == resuming.WAITING:
                fcntl.flock(other, fcntl.LOCK_UN)

        assert (fetch(ADDRESS, report).path / WEIGHTS).read_bytes() == ADAPTER[WEIGHTS]
    assert stages.count(resuming.WAITING) == 1


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
