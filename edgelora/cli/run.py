"""``edgelora run``: one answer, for scripts and pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgelora.cli import options

if TYPE_CHECKING:
    from edgelora.config.settings import Settings


@click.command("run", short_help="Answer one prompt, for scripts and pipes.")
@click.argument("prompt", metavar="PROMPT|-")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Longest answer.  [default: the context]")
@options.generation_options
@options.as_json
def command(prompt: str, max_tokens: int | None, as_json: bool, **given: object) -> None:
    """Answer PROMPT, or what comes from stdin for `-`, and stream the answer to stdout.

    Words for people go to stderr, so stdout can be piped.
    """
    from edgelora.cli.inputs import prompt_text
    from edgelora.config.settings import load_settings

    settings = load_settings(given)
    _answer(prompt_text(prompt), settings, max_tokens, as_json)


def _answer(prompt: str, settings: Settings, max_tokens: int | None, as_json: bool) -> None:
    import asyncio

    from edgelora.cli.answer import Answer, generate
    from edgelora.cli.progress import ProgressBar

    with ProgressBar() as progress:
        answer = Answer(streams=not as_json, progress=progress)
        work = generate(prompt, settings, max_tokens, answer)
        try:
            asyncio.run(work)
        finally:
            work.close()  # Ctrl-C may come before it has begun
    if as_json:
        import json

        click.echo(json.dumps(answer.document(), indent=2, ensure_ascii=False))
