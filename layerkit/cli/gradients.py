"""What `layerkit check --gradients` prints."""

from __future__ import annotations

import json
import os
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from layerkit.cli import table

if TYPE_CHECKING:
    from layerkit.graph import Graph
    from layerkit.report.gradients import Row

_TITLES = ("layer", "type", "worst error", "verdict")


def print_gradients(graph: Graph, threads: int | None, layer: str | None, as_json: bool) -> None:
    """Check layers on so many threads, print a table or an object, and raise CheckFailed where a gradient is wrong."""
    from layerkit.checks import CheckFailed
    from layerkit.cli.bar import Bar
    from layerkit.events import plain
    from layerkit.report import gradients
    from layerkit.threads import asked, use

    use(threads or (None if asked(os.environ) else gradients.threads_for(graph)), "blas")
    rows = []
    with Bar(1 if layer is not None else len(graph.nodes)) as bar:
        for row in gradients.examine(graph, layer):
            rows.append(row)
            bar.advance(row.layer)
    wrong = [row for row in rows if row.verdict == "wrong"]
    if as_json:
        typer.echo(json.dumps({"phase": graph.state.phase, "layers": [plain(asdict(row)) for row in rows]}))
    else:
        table.show(_TITLES, map(_cells, rows), right=("worst error",))
        for row in wrong:
            typer.echo("\n" + textwrap.fill(gradients.sentence(row), 80, break_long_words=False))
        if wrong:
            typer.echo(f"\n{gradients.READING}")
    if wrong:
        names = ", ".join(f"{row.layer!r}" for row in wrong)
        raise CheckFailed(f"the gradient of {len(wrong)} of {len(rows)} layers is wrong: {names}")


def _cells(row: Row) -> list[str]:
    error = "" if row.error is None else f"{row.error:.1e}"
    return [row.layer, row.type, error, f"{row.verdict}: {row.why}" if row.verdict == "not checked" else row.verdict]
