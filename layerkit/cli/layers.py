"""`layerkit layers`: the layer types there are, and what there is to know of one."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import complete, options

if TYPE_CHECKING:
    from layerkit.report.catalogue import Page

WIDEST = 100
"""Columns of running text; wider lines are hard to read."""


def layers(
    types: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TYPE", help="Types to explain; all are listed without.", autocompletion=complete.layer_types
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the list as configs/LAYERS.md holds it.")] = False,
) -> None:
    """List the layer types by family, or explain one.

    For a type it prints the formula, the shapes, every parameter with its default, an example and the source.

    Example: layerkit layers Pooling
    """
    from layerkit.report import catalogue

    width = min(WIDEST, shutil.get_terminal_size().columns)
    if markdown:
        options.refuse_beside("--markdown", {"TYPE": types})
        typer.echo(catalogue.markdown(), nl=False)
    elif types:
        pages = [_page(catalogue.page(name), width, catalogue.common_fields()) for name in types]
        typer.echo("\n\n".join("\n".join(lines) for lines in pages))
    else:
        for name, rows in catalogue.index():
            typer.echo(f"{name}:")
            for kind, summary in rows:
                fold = width if sys.stdout.isatty() else len(summary) + 40
                typer.echo("\n".join(_filled(f"{kind:24} {summary}", fold, "  ", " " * 27)))
        typer.echo("layerkit layers TYPE explains one of them")


def _page(page: Page, width: int, common: list[str]) -> list[str]:
    """The lines that explain a type."""
    lines = [*_filled(f"{page.type} ({page.family}): {page.summary}", width), ""]
    if page.text:
        lines += [*_reflowed(page.text, width), ""]
    lines += ["Parameters:"] if page.parameters else ["It has no parameters of its own.", ""]
    for each in page.parameters:
        default = "; required" if each.default is None else f"; default {each.default}" if each.default else ""
        lines += _filled(f"{each.name}: {each.kind}{default}", width, "  ", "      ")
        lines += _filled(each.text, width, "      ", "      ")
    if page.parameters:
        lines += [""]
    lines += _filled(f"Fields of every layer: {', '.join(common)}.", width)
    if page.example:
        lines += ["", "Example:", f"  - {page.example}"]
    if page.source:
        lines += ["", *_filled(f"Source: {page.source}", width)]
    return lines


def _reflowed(text: str, width: int) -> list[str]:
    """Paragraphs broken anew; what is indented stays as it is, and so does a break between sentences."""
    lines: list[tuple[str, bool]] = []  # with whether it is laid out by hand: a formula, or a table
    for line in text.splitlines():
        laid_out = not line or line.startswith(" ") or "   " in line
        before, closed = lines[-1] if lines else ("", True)
        sentence = before.endswith(".") and bool(re.match("[A-Z]", line))
        if laid_out or closed or sentence:
            lines.append((line, laid_out))
        else:
            lines[-1] = f"{before} {line}", False
    broken: list[str] = []
    for line, laid_out in lines:
        later = "  " if re.match(r"\w+( \d+)?: |Raises ", line) else ""
        broken += [line] if laid_out else _filled(line, width, "", later)
    return broken


def _filled(text: str, width: int, first: str = "", later: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
