"""A stand-in for the hub's HTTP interface on this machine: the two requests that a download makes.

Shapes and headers as huggingface_hub 2.4.0 reads them (hf_api.py, ModelInfo; file_download.py; utils/_http.py).
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
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMIT = "c0ffee" + "0" * 34
LFS_ENDINGS = (".safetensors", ".bin", ".gguf")
_INFO = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repo:
    files: dict[str, bytes]
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    gated: bool = False
    token: str | None = None  # who lacks it sees no such repository


@dataclass
class Request:
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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        request = Request(path, self.headers.get("Range"), token)
        self.hub.requests.append(request)
        if self.hub.trouble is not None and self.hub.trouble(self, request):
            self.close_connection = True
        elif info := _INFO.fullmatch(path):
            self._send_info(request, *info.groups())
        elif file := _FILE.fullmatch(path):
            self._send_file(request, *file.groups())
        else:
            self.refuse(404)

    def _send_info(self, request: Request, name: str, revision: str) -> None:
        repo = self._repo(request, name)
        if repo is None:
            return
        commit = revision if revision in repo.revisions.values() else repo.revisions.get(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound")
            return
        siblings = [_sibling(path, data) for path, data in repo.files.items()]
        self.send(request, json.dumps({"id": name, "sha": commit, "siblings": siblings}).encode())

    def _send_file(self, request: Request, name: str, commit: str, path: str) -> None:
        repo = self._repo(request, name)
        if repo is None:
            return
        if repo.gated:
            self.refuse(403, "GatedRepo", "Access to this model is restricted.")
        elif commit not in repo.revisions.values():
            self.refuse(404, "RevisionNotFound")
        elif path not in repo.files:
            self.refuse(404, "EntryNotFound")
        elif self.hub.cdn and path.endswith(LFS_ENDINGS):
            self.refuse(302, location=self.hub.cdn + self.path)
        else:
            self.send(request, repo.files[path], request.range, etag=_digest(path, repo.files[path]))

    def _repo(self, request: Request, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None or repo.token not in (None, request.token):
            if request.token:
                self.refuse(404, "RepoNotFound", "Repository not found")
            else:
                self.refuse(401, message="Invalid username or password.")
            return None
        return repo

    def send(self, request: Request, body: bytes, wanted: str | None = None, etag: str = "", cut: int = -1) -> None:
        """Answer with ``body``, or with the part ``wanted``. A ``cut`` hangs up after so many bytes of it."""
        start, end = _bounds(wanted, len(body))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
        if etag:
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        piece = body[start:end] if cut < 0 else body[start:end][:cut]
        request.sent += len(piece)
        self.wfile.write(piece)
        self.close_connection = cut >= 0

    def refuse(self, status: int, code: str = "", message: str = "", location: str = "") -> None:
        self.send_response(status)
        for name, value in (("X-Error-Code", code), ("X-Error-Message", message), ("Location", location)):
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
