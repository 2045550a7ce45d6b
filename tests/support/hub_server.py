"""A stand-in for the hub's HTTP interface on this machine: descriptions of repositories, and their files.

Shapes and headers as huggingface_hub 2.4.0 reads them (hf_api.py, ModelInfo and RepoFile; file_download.py;
utils/_http.py). A repository that is not there has an error code here, because the library takes a bare 401 for that
only over https.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from huggingface_hub import constants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import pytest

COMMIT = "c0ffee" + "0" * 34
LFS_ENDINGS = (".safetensors", ".bin", ".gguf")
_INFO = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")
_TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)/?(.*)")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    files: dict[str, bytes]
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    gated: bool = False
    token: str | None = None  # who lacks it sees no such repository


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    token: str | None
    sent: int = 0


@dataclass
class Hub:
    """What the stand-in serves and what it was asked. ``trouble`` may answer a request itself, by returning True."""

    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    trouble: Callable[[Handler, Request], bool] | None = None
    cdn: str = ""  # where LFS files are redirected to
    url: str = ""

    def sent(self, name: str) -> int:
        """Bytes of bodies sent for files of that name."""
        return sum(request.sent for request in self.requests if request.path.endswith(f"/{name}"))


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    handler = type("Bound", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use_hub(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if HF_ENDPOINT and HF_HOME had been set when the library was imported; nothing else is contacted."""
    use_endpoint(url, monkeypatch)
    settings = {
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in settings.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def use_endpoint(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two writes, and the second would wait for the client
    hub: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        request = Request(self.command, path, self.headers.get("Range"), token)
        self.hub.requests.append(request)
        if self.hub.trouble is not None and self.hub.trouble(self, request):
            return
        if info := _INFO.fullmatch(path):
            self._send_info(request, *info.groups())
        elif tree := _TREE.fullmatch(path):
            self._send_tree(request, *tree.groups())
        elif file := _FILE.fullmatch(path):
            self._send_file(request, *file.groups())
        else:
            self.refuse(404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send_info(self, request: Request, name: str, revision: str) -> None:
        repo, commit = self._at(request, name, revision)
        if repo is None:
            return
        siblings = [_sibling(path, data) for path, data in repo.files.items()]
        self.send(request, json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode())

    def _send_tree(self, request: Request, name: str, revision: str, folder: str) -> None:
        """The files of one folder, or all below it."""
        repo, _ = self._at(request, name, revision)
        if repo is not None:
            all_below = parse_qs(urlsplit(self.path).query).get("recursive") in (["true"], ["True"])
            files = {
                path: data
                for path, data in repo.files.items()
                if path.rpartition("/")[0] == folder or (all_below and path.startswith(folder))
            }
            entries = [
                {"type": "file", "path": path, "size": len(data), "oid": _digest(path, data)}
                for path, data in files.items()
            ]
            self.send(request, json.dumps(entries).encode())

    def _send_file(self, request: Request, name: str, revision: str, path: str) -> None:
        repo, commit = self._at(request, name, revision)
        if repo is None:
            return
        if repo.gated:
            self.refuse(403, "GatedRepo", "Access to this model is restricted.")
        elif path not in repo.files:
            self.refuse(404, "EntryNotFound")
        else:
            data = repo.files[path]
            headers = {"ETag": f'"{_digest(path, data)}"', "X-Repo-Commit": commit}
            if self.hub.cdn and path.endswith(LFS_ENDINGS):
                linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": headers["ETag"]}
                self.refuse(302, headers=headers | linked | {"Location": self.hub.cdn + self.path})
            else:
                self.send(request, data, request.range, headers)

    def _at(self, request: Request, name: str, revision: str) -> tuple[Repo | None, str]:
        """A repository, and the commit that a revision of it is; refused where either is not there."""
        repo = self._repo(request, name)
        commit = revision if repo and revision in repo.revisions.values() else repo and repo.revisions.get(revision)
        if repo and commit is None:
            self.refuse(404, "RevisionNotFound")
        return (repo, commit) if commit else (None, "")

    def _repo(self, request: Request, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None or repo.token not in (None, request.token):
            self.refuse(404 if request.token else 401, "RepoNotFound", "Repository not found")
            return None
        return repo

    def send(
        self,
        request: Request,
        body: bytes,
        wanted: str | None = None,
        headers: Mapping[str, str] | None = None,
        cut: int = -1,
    ) -> None:
        """Answer with ``body``, or with the part ``wanted``. A ``cut`` hangs up after so many bytes of it."""
        start, end = _bounds(wanted, len(body))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if request.method == "HEAD":
            return
        piece = body[start:end] if cut < 0 else body[start:end][:cut]
        request.sent += len(piece)
        self.wfile.write(piece)
        self.close_connection = len(piece) < end - start

    def refuse(self, status: int, code: str = "", message: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _digest(path: str, data: bytes) -> str:
    if path.endswith(LFS_ENDINGS):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _sibling(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": "b" * 40}
    if path.endswith(LFS_ENDINGS):
        return entry | {"lfs": {"sha256": _digest(path, data), "size": len(data), "pointerSize": 135}}
    return entry | {"blobId": _digest(path, data)}


def _bounds(wanted: str | None, length: int) -> tuple[int, int]:
    if not wanted:
        return 0, length
    first, last = wanted.removeprefix("bytes=").split("-")
    return int(first), min(int(last) + 1, length) if last else length
