"""GET /health, /props, /slots and /metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, PlainTextResponse

import edgelora
from edgelora.server.metrics import CONTENT_TYPE
from edgelora.server.routing import host_of, tenant_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def health(request: Request) -> Response:
    """Whether requests are taken: 200, or 503 while the server is ending, or has no engine any more."""
    host = host_of(request)
    if host.draining or host.engine_ended:
        return JSONResponse({"status": "engine ended" if host.engine_ended else "draining"}, 503)
    return JSONResponse({"status": "ok"})


async def props(request: Request) -> Response:
    """What this server has, and what applies to requests that say nothing."""
    host, tenant = host_of(request), tenant_of(request)
    base, sampling = host.engine.base, host.sampling({})
    return JSONResponse(
        {
            "default_generation_settings": {
                "n_ctx": base.ctx,
                "params": {
                    "temperature": sampling.temperature,
                    "top_k": sampling.top_k,
                    "top_p": sampling.top_p,
                    "min_p": sampling.min_p,
                    "repeat_penalty": sampling.repeat_penalty,
                    "presence_penalty": sampling.presence_penalty,
                    "frequency_penalty": sampling.frequency_penalty,
                    "stop": list(sampling.stop),
                },
            },
            "model_path": base.path.name,
            "model_alias": base.name,
            "chat_template": base.chat_template or "",
            "mode": base.mode,
            "mode_reason": base.mode_reason,
            "baked": host.hot.listed(tenant.may_use),
            "build_info": f"edgelora {edgelora.__version__}",
        }
    )


async def slots(request: Request) -> Response:
    """What runs and waits of this tenant's, without a word of what it says."""
    host, tenant = host_of(request), tenant_of(request)
    now = time.monotonic()
    return JSONResponse(
        [
            {
                "id": number,
                "id_task": one.request.id,
                "n_ctx": host.engine.base.ctx,
                "is_processing": True,
                "adapters": list(one.adapters),
                "prompt_tokens": len(one.request.tokens),
                "pieces": one.pieces,
                "seconds": round(now - one.began, 3),
            }
            for number, one in enumerate(list(host.running.values()))
            if one.tenant == tenant.name
        ]
    )


async def metrics(request: Request) -> Response:
    """What was counted of the adapters that this tenant may use, for Prometheus."""
    host, tenant = host_of(request), tenant_of(request)
    text = host.metrics.exposition(await host.engine.stats(), tenant.may_name, host.hot.listed(tenant.may_use))
    return PlainTextResponse(text, media_type=CONTENT_TYPE)
