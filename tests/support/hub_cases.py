"""An adapter on the stand-in for the hub, and what a test does about it."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
from edgelora_convert.sources.hub.address import HubAddress
from edgelora_convert.sources.hub.fetch import fetch

from edgelora.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.hub_server import Handler, Request


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


def gguf_of(kind: str) -> bytes:
    texts = {"general.architecture": "llama", "general.type": kind}
    entries = b"".join(packed(key) + struct.pack("<I", 8) + packed(text) for key, text in texts.items())
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(texts)) + entries + b"\0" * 100_000


def packed(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()
