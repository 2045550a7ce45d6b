"""The steps of the build, in order, each of which can be taken up again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from demo.adapters import RECIPES, train_adapter
from demo.base import SEED, train_base
from demo.export import export
from demo.folders import copy, fill
from demo.layout import ADAPTER_GGUFS, ADAPTER_SOURCES, BASE_GGUF, BASE_SOURCE
from demo.text.corpus import documents_of_base, render
from demo.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENIZER_DOCUMENTS = 20_000
BASE_DTYPE = "q8_0"


@dataclass(frozen=True)
class Build:
    """Where unfinished work lies, and how long to train."""

    work: Path
    tokens: int
    steps: int

    @property
    def tokenizer(self) -> Path:
        return self.work / "tokenizer"

    @property
    def base(self) -> Path:
        return self.work / "base"

    def adapter(self, name: str) -> Path:
        return self.work / "adapters" / name

    def load_tokenizer(self) -> PreTrainedTokenizerFast:
        tokenizer = AutoTokenizer.from_pretrained(self.tokenizer)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        return tokenizer


def make_tokenizer(build: Build) -> None:
    """learns the vocabulary from generated text (a minute)."""

    def save(folder: Path) -> None:
        documents = islice(documents_of_base(Random(f"{SEED}:tokenizer")), TOKENIZER_DOCUMENTS)
        train_tokenizer(map(render, documents)).save_pretrained(folder)

    fill(build.tokenizer, save)


def make_base(build: Build) -> None:
    """trains the base (about half an hour on two cores)."""

    def save(folder: Path) -> None:
        tokenizer = build.load_tokenizer()
        train_base(tokenizer, build.work, build.tokens).half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "model.safetensors").chmod(0o644)

    fill(build.base, save)


def make_adapters(build: Build) -> None:
    """trains the four LoRA adapters with PEFT (2 to 4 minutes each)."""
    for name in RECIPES:
        fill(build.adapter(name), lambda folder, name=name: _train(build, name, folder))


def _train(build: Build, name: str, folder: Path) -> None:
    train_adapter(name, build.base, build.load_tokenizer(), folder, build.steps)


def publish(build: Build) -> None:
    """copies the results to models/source, and writes the GGUF files beside it (seconds)."""
    from edgelora_convert.convert import convert

    copy(build.base, BASE_SOURCE)
    export(BASE_SOURCE, BASE_GGUF, BASE_DTYPE)
    ADAPTER_GGUFS.mkdir(parents=True, exist_ok=True)
    for name in RECIPES:
        copy(build.adapter(name), ADAPTER_SOURCES / name)
        report = convert(ADAPTER_SOURCES / name, BASE_GGUF, ADAPTER_GGUFS / f"{name}.gguf")
        print(f"publish: {name}.gguf, {report.file_size} bytes")


STEPS: dict[str, Callable[[Build], None]] = {
    "tokenizer": make_tokenizer,
    "base": make_base,
    "adapters": make_adapters,
    "publish": publish,
}
