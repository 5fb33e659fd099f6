"""Tables on standard output: in a terminal folded to its width, in a pipe never cut."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from layerkit.net import Net


_NEVER_CUT = 10_000
"""Columns of a pipe."""


def columns() -> int:
    """How many columns standard output has: a terminal's, and of a pipe so many that nothing is cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _NEVER_CUT


def show(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    may_omit: Sequence[str] = (),
) -> list[str]:
    """Print a table; columns whose titles are in `right` are aligned to the right.

    Where a terminal is too narrow, columns are left out, those of `may_omit` in turn, before any is folded; returns
    the titles of those left out.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = [list(row) for row in rows]
    kept, omitted = list(titles), list[str]()
    room = columns()
    for title in may_omit:
        if _width(titles, lines, kept) > room:
            kept.remove(title)
            omitted.append(title)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in kept:
        table.add_column(title, justify="right" if title in right else "left", overflow="fold")
    for row in lines:
        table.add_row(*(Text(cell) for title, cell in zip(titles, row, strict=True) if title in kept))
    console = Console(highlight=False, width=room)
    with console.capture() as captured:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
    return omitted


def note_omitted(titles: Sequence[str]) -> None:
    """Say on standard error which columns a table was printed without."""
    if titles:
        typer.echo(f"the terminal has no room for: {', '.join(titles)}; --json has all", err=True)


def _width(titles: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[str]) -> int:
    """Columns that a table takes up without being folded, with two spaces between them."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return sum(width + 2 for title, width in zip(titles, widths, strict=True) if title in kept) - 2


def in_units(number: float, unit: str = "") -> str:
    """A number with three or four digits and a prefix, as `1.81 G` or `432 kB`."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * factor:
            return f"{number / factor:{'.1f' if number >= 99.95 * factor else '.2f'}} {prefix}{unit}"
    return f"{number:g} {unit}".rstrip()


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
