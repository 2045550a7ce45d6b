"""The steps of the build, in order, each of which can be taken up again."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from demo.adapters import RECIPES, train_adapter
from demo.base import SEED, train_base
from demo.export import export
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
    if not build.tokenizer.is_dir():
        documents = islice(documents_of_base(Random(f"{SEED}:tokenizer")), TOKENIZER_DOCUMENTS)
        tokenizer = train_tokenizer(map(render, documents))
        _whole(build.tokenizer, tokenizer.save_pretrained)


def make_base(build: Build) -> None:
    """trains the base (about 20 minutes on two idle cores)."""
    if not build.base.is_dir():
        tokenizer = build.load_tokenizer()
        model = train_base(tokenizer, build.work, build.tokens).half()

        def save(folder: Path) -> None:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            (folder / "model.safetensors").chmod(0o644)

        _whole(build.base, save)


def make_adapters(build: Build) -> None:
    """trains the four LoRA adapters with PEFT (2 to 4 minutes each)."""
    for name in RECIPES:
        if not build.adapter(name).is_dir():
            train = partial(train_adapter, name, build.base, build.load_tokenizer(), steps=build.steps)
            _whole(build.adapter(name), train)


def publish(build: Build) -> None:
    """copies the results to models/source, and writes the GGUF files beside it (seconds)."""
    from edgelora_convert.convert import convert

    _copy(build.base, BASE_SOURCE)
    export(BASE_SOURCE, BASE_GGUF, BASE_DTYPE)
    ADAPTER_GGUFS.mkdir(parents=True, exist_ok=True)
    for name in RECIPES:
        _copy(build.adapter(name), ADAPTER_SOURCES / name)
        report = convert(ADAPTER_SOURCES / name, BASE_GGUF, ADAPTER_GGUFS / f"{name}.gguf")
        print(f"{name}: {report}")


STEPS: dict[str, Callable[[Build], None]] = {
    "tokenizer": make_tokenizer,
    "base": make_base,
    "adapters": make_adapters,
    "publish": publish,
}


def _whole(target: Path, fill: Callable[[Path], object]) -> None:
    """Fill a folder under another name first, so that the target is never there half-written."""
    unfinished = target.with_name(f".{target.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    fill(unfinished)
    unfinished.rename(target)


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
