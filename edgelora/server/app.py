"""The app: every address and who answers there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from edgelora.server import vllm
from edgelora.server.errors import ApiError
from edgelora.server.guard import Guard
from edgelora.server.llama import adapters, completion, status, tokens
from edgelora.server.openai import chat, completions, embeddings, listing

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from edgelora.server.host import Host


def make_app(host: Host) -> Starlette:
    """The ASGI app on ``host``, whose own work begins and ends with :meth:`Host.start` and :meth:`Host.stop`."""
    routes = [
        Route("/v1/models", listing.models, methods=["GET"]),
        Route("/v1/models/{model:path}", listing.model, methods=["GET"]),
        Route("/v1/chat/completions", chat.chat_completions, methods=["POST"]),
        Route("/v1/completions", completions.completions, methods=["POST"]),
        Route("/v1/embeddings", embeddings.embeddings, methods=["POST"]),
        Route("/completion", completion.completion, methods=["POST"]),
        Route("/completions", completion.completion, methods=["POST"]),
        Route("/lora-adapters", adapters.listed, methods=["GET"]),
        Route("/lora-adapters", adapters.set_scales, methods=["POST"]),
        Route("/tokenize", tokens.tokenize, methods=["POST"]),
        Route("/detokenize", tokens.detokenize, methods=["POST"]),
        Route("/health", status.health, methods=["GET"]),
        Route("/v1/health", status.health, methods=["GET"]),
        Route("/props", status.props, methods=["GET"]),
        Route("/slots", status.slots, methods=["GET"]),
        Route("/metrics", status.metrics, methods=["GET"]),
    ]
    if host.options.dynamic_adapters:
        routes += [
            Route("/v1/load_lora_adapter", vllm.load_adapter, methods=["POST"]),
            Route("/v1/unload_lora_adapter", vllm.unload_adapter, methods=["POST"]),
        ]
    guard = Middleware(Guard, options=host.options, tenants=host.tenants)
    app = Starlette(routes=routes, middleware=[guard], exception_handlers={404: _unknown, 405: _wrong_method})
    app.router.redirect_slashes = False
    app.state.host = host
    return app


async def _unknown(request: Request, error: Exception) -> Response:
    return ApiError(404, f"there is nothing at {request.url.path}", "unknown_url").response


async def _wrong_method(request: Request, error: Exception) -> Response:
    return ApiError(405, f"{request.url.path} does not take {request.method}", "method_not_allowed").response
