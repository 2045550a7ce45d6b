"""``edgelora bench load``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from edgelora.cli import options
from edgelora.cli.bench.published import page_option, publish, require_page
from edgelora.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgelora.bench.load.run import LoadResult
    from edgelora.bench.load.target import Target
    from edgelora.bench.load.workload import Workload
    from edgelora.bench.subject import Subject
    from edgelora.types import EngineConfig, ReportProgress

APIS = ("llama-server", "openai")


@click.command("load", short_help="Measure many clients, here or on another server.")
@options.base
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    metavar="SEL",
    help="What is asked for, as for `run`; may be repeated.  [default: the first K that fit the base]",
)
@click.option(
    "--adapters", "count", type=click.IntRange(0), metavar="K", help="How many; 0 is the base.  [default: all]"
)
@click.option("--clients", type=click.IntRange(1), default=16, show_default=True, help="Each asks one after another.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests a second instead, however many run.")
@click.option("--requests", type=click.IntRange(1), help="How many.  [default: 32, without --seconds]")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="How long new requests are sent.")
@click.option("--spread", type=click.Choice(("turns", "uniform", "zipf")), default="turns", show_default=True)
@click.option("--prompt-tokens", type=click.IntRange(1), default=60, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1), default=48, show_default=True)
@click.option("--seed", "load_seed", type=int, default=1, show_default=True, help="The same seed asks the same.")
@click.option("--url", help="A server instead of edgelora's own engine, such as http://127.0.0.1:8080.")
@click.option("--api", type=click.Choice(APIS), default="llama-server", show_default=True, help="What it speaks.")
@click.option("--api-key", envvar="EDGELORA_API_KEY", default="", help="Its key.")
@options.engine_options
@page_option
@options.as_json
def command(
    adapters: Sequence[str],
    count: int | None,
    load_seed: int,
    requests: int | None,
    seconds: float | None,
    url: str | None,
    api: str,
    api_key: str,
    page: Path | None,
    as_json: bool,
    **given: object,
) -> None:
    """Send many requests with many adapters to the engine, or to another server, and measure.

    llama-server must have been started with one --lora for each adapter, in the same order, and
    --lora-init-without-apply. A server that speaks OpenAI's API is asked for models of the adapters' names.
    """
    from edgelora.bench.load.report import load_document, load_table
    from edgelora.bench.machine import describe_machine
    from edgelora.bench.tables import machine_remark
    from edgelora.config.resolved import engine_config
    from edgelora.config.settings import load_settings

    require_page(page)
    if url is not None:
        _require_address(url)
    asked = {name: given.pop(name) for name in ("clients", "rate", "spread", "prompt_tokens", "max_tokens")}
    asked |= {"requests": requests or (None if seconds else 32), "seconds": seconds, "seed": load_seed}
    config = engine_config(load_settings(given))
    result = _measure(config, adapters, count, asked, _Server(url, api, api_key) if url is not None else None)
    machine = describe_machine(config.threads or 0)
    document = load_document(result, machine)
    publish("edgelora bench load", [load_table(result)], [machine_remark(machine)], document, page, as_json)


def _require_address(url: str) -> None:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_one = False
    if not is_one:
        raise UsageError(f"--url {url!r} is no address of a server", "Write it like http://127.0.0.1:8080.")


@dataclass(frozen=True)
class _Server:
    """Somebody else's server, what it speaks, and its key."""

    url: str
    api: str
    api_key: str


def _measure(
    config: EngineConfig,
    adapters: Sequence[str],
    count: int | None,
    asked: Mapping[str, object],
    server: _Server | None,
) -> LoadResult:
    """The result of the workload that ``asked`` describes, on the adapters that are wanted."""
    import asyncio

    from edgelora.bench.load.workload import Workload
    from edgelora.bench.subject import find_subjects, take
    from edgelora.cli.progress import ProgressBar

    with ProgressBar() as progress:
        subjects: Sequence[Subject] = ()
        if count != 0:
            from edgelora.adapters.library import AdapterLibrary

            library = AdapterLibrary(config.base)  # as long as it lives, nobody removes what it gave out
            subjects = take(find_subjects(library, adapters, None, progress), count, None)
        workload = Workload(adapters=len(subjects), **asked)  # type: ignore[arg-type]
        return asyncio.run(_run(config, subjects, workload, server, progress))


async def _run(
    config: EngineConfig,
    subjects: Sequence[Subject],
    workload: Workload,
    server: _Server | None,
    report: ReportProgress,
) -> LoadResult:
    from edgelora.bench.load.run import run_load

    target = await _target(config, subjects, server, report)
    try:
        return await run_load(target, workload, report)
    finally:
        await target.close()


async def _target(
    config: EngineConfig,
    subjects: Sequence[Subject],
    server: _Server | None,
    report: ReportProgress,
) -> Target:
    if server is None:
        from edgelora.bench.load.engine_target import EngineTarget

        return await EngineTarget.open(config, subjects, report)
    from edgelora.bench.load.http_target import HttpTarget, LlamaServer, OpenAI
    from edgelora.gguf.facts import BaseFacts
    from edgelora.gguf.split import read_joined

    facts = BaseFacts.of(read_joined(config.base))
    names = [subject.text for subject in subjects]
    dialect = LlamaServer(len(subjects)) if server.api == "llama-server" else OpenAI(names, facts.name)
    return HttpTarget(server.url, dialect, facts.n_vocab, api_key=server.api_key)
