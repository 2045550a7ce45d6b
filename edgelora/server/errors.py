"""Errors as HTTP answers, in the form that OpenAI's clients read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from edgelora.engine.failures import NotFiniteError
from edgelora.errors import (
    AdapterError,
    AdapterTooLargeError,
    ContextOverflowError,
    ConversionError,
    DeadlineError,
    EdgeloraError,
    EngineDiedError,
    GGUFError,
    GrammarError,
    MemoryLimitError,
    QuarantinedError,
    QueueFullError,
    TemplateError,
    UnknownAdapterError,
    UnsupportedError,
    UsageError,
)
from edgelora.server.selecting import NO_SUCH_MODEL

if TYPE_CHECKING:
    from starlette.responses import Response


class ApiError(Exception):
    """A request that is refused, or failed: ``status`` and what the client's error object says.

    ``param`` is the field of the request that is to blame; ``retry_after`` seconds later it may succeed.
    """

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """What OpenAI's clients read: platform.openai.com/docs/guides/error-codes."""
        error = {"message": self.message, "type": _type(self.status), "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def response(self) -> Response:
        """The whole answer."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.status in (408, 413):
            headers["connection"] = "close"  # the rest of the body is not read
        return JSONResponse(self.body, self.status, headers)


_KINDS: tuple[tuple[type[EdgeloraError], int, str, str | None], ...] = (
    (UnknownAdapterError, 404, "model_not_found", "model"),
    (AdapterError, 400, "adapter_unusable", "model"),
    (ConversionError, 400, "adapter_unusable", "model"),
    (GGUFError, 400, "adapter_unusable", "model"),
    (QuarantinedError, 400, "adapter_quarantined", "model"),
    (UsageError, 400, "invalid_value", None),
    (TemplateError, 400, "template_error", "messages"),
    (ContextOverflowError, 400, "context_length_exceeded", "messages"),
    (GrammarError, 400, "invalid_grammar", "response_format"),
    (UnsupportedError, 501, "not_supported", None),
    (QueueFullError, 429, "queue_full", None),
    (DeadlineError, 408, "timeout", None),
    (AdapterTooLargeError, 400, "adapter_unusable", "model"),
    (MemoryLimitError, 503, "out_of_memory", None),
    (EngineDiedError, 503, "engine_restarting", None),
    (NotFiniteError, 503, "not_finite", None),
)
_FOLDERS = re.compile(r"""(?<![^\s('"])(?:/|~/)[^:'"\n]*/""")
_RETRIES = {429: 1, 503: 2}
_INTERNAL = 500


def as_api_error(error: EdgeloraError, *, param: str | None = None) -> ApiError:
    """``error`` as a client is told; ``param`` is to blame where the kind of error does not say."""
    unknown = isinstance(error, UnknownAdapterError)
    hint = NO_SUCH_MODEL if unknown else without_folders(error.hint)  # its own names others'
    message = without_folders(error.message)
    message = f"{message}. {hint}" if hint else message
    for kind, status, code, blamed in _KINDS:
        if isinstance(error, kind):
            return ApiError(status, message, code, param=blamed or param, retry_after=_RETRIES.get(status))
    return ApiError(_INTERNAL, message, "server_error")


def base_unusable(error: EdgeloraError) -> ApiError:
    """``error`` of the base itself: it stays until whoever runs the server has seen to it."""
    message = f"this server cannot use its base: {without_folders(error.message)}"
    return ApiError(503, message, "base_unusable")


def without_folders(text: str) -> str:
    """``text`` with the names of files alone: where they lie on this machine is no client's business."""
    return _FOLDERS.sub("", text)


def internal_error() -> ApiError:
    """What nobody foresaw. The log says more, the client is told nothing of the inside."""
    return ApiError(_INTERNAL, "internal error; the server's log says more", "server_error")


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    return kinds.get(status, "timeout_error" if status == 408 else "invalid_request_error")
