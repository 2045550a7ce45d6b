"""Addresses on the hub, and which of the files there are taken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edgelora_convert.sources.hub.address import HubAddress, parse_address
from edgelora_convert.sources.hub.fetch import fetch
from edgelora_convert.sources.hub.selection import select
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st
from support.hub_cases import WEIGHTS
from support.hub_server import Hub

from edgelora.errors import ConversionError, UsageError

if TYPE_CHECKING:
    pass


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
