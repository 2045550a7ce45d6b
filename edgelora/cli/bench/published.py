"""What every benchmark does with its result: a document, tables, a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgelora.bench.tables import Table

page_option = click.option(
    "--report", "page", type=click.Path(dir_okay=False, path_type=Path), help="Write a Markdown page too."
)


def require_page(page: Path | None) -> None:
    """Raise UsageError where the page could not be written, before anything is measured."""
    from edgelora.cli.outputs import require_file, require_folder

    if page:
        require_file(page, "--report")
        require_folder(page)


def publish(
    title: str,
    tables: Sequence[Table],
    remarks: Sequence[str],
    document: Mapping[str, Any],
    page: Path | None,
    as_json: bool,
) -> None:
    """Write the page if one is wanted, and print the document or the tables."""
    from edgelora.bench.tables import markdown
    from edgelora.cli.outputs import write_text

    if page:
        write_text(page, markdown(tables, title, remarks))
    if as_json:
        import json

        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(tables, remarks)


def _print(tables: Sequence[Table], remarks: Sequence[str]) -> None:
    from rich import box, table
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    for remark in remarks:
        console.print(escape(remark))
    for content in tables:
        drawn = table.Table(title=escape(content.title), box=box.SIMPLE, title_justify="left", show_lines=False)
        for column in content.columns:
            drawn.add_column(escape(column))
        for row in content.rows:
            drawn.add_row(*map(escape, row))
        console.print(drawn)
        if content.note:
            console.print(escape(content.note))
