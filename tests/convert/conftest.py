"""The hub that tests of downloads talk to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from huggingface_hub import (
    close_session,
    constants,
)
from support.hub_cases import ADAPTER
from support.hub_server import Hub, Repo, serving, use_hub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's attempts
    with serving(Hub({"someone/a-lora": Repo(dict(ADAPTER))})) as hub:
        use_hub(hub.url, tmp_path, monkeypatch)
        yield hub
    close_session()
