"""Run as a script: a server in which everything is F32, so that its answers do not depend on what runs beside them.

exact_server.py BASE ADAPTER_BYTES; it says where it listens on stderr, as `edgelora serve` does.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from edgelora.server.options import ServerOptions
from edgelora.server.running import serve
from edgelora.types import SamplingParams
from support.engines import exact_config


def main(base: Path, adapter_bytes: int) -> None:
    """Serve until told to end."""
    memory = {"adapter_bytes": adapter_bytes, "prepared_bytes": 1, "parked_bytes": 1 << 20}
    config = replace(exact_config(base, **memory), ctx=512, max_sequences=8)
    greedy = SamplingParams(temperature=0)
    asyncio.run(
        serve(
            config,
            ServerOptions(port=0),
            lambda base, card: greedy,
            ready=lambda server: print(f"listening on {server.address}", file=sys.stderr, flush=True),
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
