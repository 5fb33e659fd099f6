"""Tables on standard output: in a terminal folded to its width, in a pipe never cut."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from layerkit.net import Net


def show(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table; columns whose titles are in `right` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def show_bytes(net: Net, before: str = "", without: Sequence[str] = ()) -> None:
    """Print where a net's bytes go, a line each; what is nothing, or stands in `without`, is left out."""
    for what, count in net.bytes.items():
        if count and what not in without:
            typer.echo(f"{before}{what} {_bytes_text(count)}")
    if net.engine.library:
        typer.echo(f"{before}besides, about {net.engine.library / 1e6:.0f} MB for the library {net.engine.name}")


def _bytes_text(count: int) -> str:
    """A number of bytes as people read it, and as it is: `12.3 MB (12,345,678 bytes)`."""
    return f"{count / 1e6:.1f} MB ({count:,} bytes)"
