"""Bases that other programs have on this machine: the hub's cache, LM Studio's models, Ollama's store.

Layouts: the hub's from its documentation (huggingface.co/docs/hub/local-cache); LM Studio's models folder from its own
(lmstudio.ai/docs, "Import models"), and its home as its SDK finds it (lmstudio-js, findLMStudioHome); Ollama's
manifests and blobs from its source (server/internal/manifest) and its FAQ.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelora.errors import EdgeloraError
from edgelora.gguf.split import read_joined

if TYPE_CHECKING:
    from collections.abc import Iterator

_LATER_PART = re.compile(r"-(?!00001-)\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_NOT_A_BASE = re.compile(r"^mmproj|[-.]mmproj", re.IGNORECASE)
_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_BLOB = re.compile(r"sha256[:-]([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class OfferedBase:
    """A base that could be added: where it is, what the program that has it calls it, and that program's name."""

    path: Path
    title: str
    program: str


def offered_bases() -> list[OfferedBase]:
    """All that were found, each file once. Reads the header of each, and says nothing of what it cannot read."""
    found: dict[Path, OfferedBase] = {}
    for offered in (*_in_hub_cache(), *_of_lm_studio(), *_of_ollama()):
        found.setdefault(offered.path.resolve(), offered)
    return [offered for offered in found.values() if _is_base(offered.path)]


def _in_hub_cache() -> Iterator[OfferedBase]:
    """``models--ORG--NAME/snapshots/COMMIT/...``, where names are links to blobs."""
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        repo = folder.name.removeprefix("models--").replace("--", "/")
        newest_first = sorted(folder.glob("snapshots/*"), key=_changed, reverse=True)
        for path in (path for snapshot in newest_first for path in _ggufs(snapshot)):
            yield OfferedBase(path, f"{repo}: {path.name}", "hub cache")


def _of_lm_studio() -> Iterator[OfferedBase]:
    """``models/PUBLISHER/MODEL/FILE.gguf`` in its home, which a file in the user's home may name."""
    home = Path.home()
    try:
        homes = [Path((home / ".lmstudio-home-pointer").read_text(encoding="utf-8").strip())]
    except (OSError, ValueError):
        homes = [home / ".lmstudio", home / ".cache" / "lm-studio"]
    for models in (each / "models" for each in homes):
        for path in _ggufs(models):
            yield OfferedBase(path, "/".join(path.relative_to(models).parts), "LM Studio")


def _of_ollama() -> Iterator[OfferedBase]:
    """``manifests/HOST/NAMESPACE/MODEL/TAG`` name the ``blobs/sha256-HASH`` of each model."""
    chosen = os.environ.get("OLLAMA_MODELS")
    stores = [Path(chosen)] if chosen else [Path.home() / ".ollama/models", Path("/usr/share/ollama/.ollama/models")]
    for store in stores:
        for manifest in _all(store / "manifests", "*/*/*/*"):
            blob = _model_blob(manifest)
            if blob and os.path.isfile(store / "blobs" / blob):
                host, namespace, model, tag = manifest.relative_to(store / "manifests").parts
                own = (host, namespace) == ("registry.ollama.ai", "library")
                title = f"{model}:{tag}" if own else f"{host}/{namespace}/{model}:{tag}"
                yield OfferedBase(store / "blobs" / blob, title, "Ollama")


def _model_blob(manifest: Path) -> str:
    """The name of the file with the weights; empty where there is none."""
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == _OLLAMA_MODEL]
        match = _BLOB.fullmatch(digests[0])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return ""
    return f"sha256-{match[1]}" if match else ""


def _ggufs(folder: Path) -> list[Path]:
    paths = _all(folder, "**/*.gguf")
    return [path for path in paths if not _LATER_PART.search(path.name) and not _NOT_A_BASE.search(path.name)]


def _all(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(path for path in folder.glob(pattern) if os.path.isfile(path))
    except OSError:  # another user's
        return []


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_base(path: Path) -> bool:
    try:
        header = read_joined(path)
    except (OSError, EdgeloraError):
        return False
    return header.metadata.get("general.type", "model") == "model" and "general.architecture" in header.metadata
