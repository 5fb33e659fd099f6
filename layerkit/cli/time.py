"""`layerkit time`: how long each layer takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options, table

if TYPE_CHECKING:
    from layerkit.report.timing import Timing


def time(
    file: options.File,
    assignments: options.Assignments = None,
    phase: Annotated[str, typer.Option("--phase", metavar="PHASE", help="train, test or predict.")] = "train",
    iterations: Annotated[
        int, typer.Option("--iterations", metavar="N", min=1, help="Passes to run; medians are shown.")
    ] = 20,
    threads: options.Threads = None,
    engine: options.Engine = None,
    allow_python: options.AllowPython = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure how long each layer takes.

    Forward and backward, in milliseconds, with what runs it; layers that the engine runs as one share a row. Below the
    table: sums, and the bytes that the net takes up as `layerkit train` would run it.

    Example: layerkit time configs/mlp.yaml
    """
    from layerkit import graph
    from layerkit.net import Net
    from layerkit.report import timing

    overrides = [*(assignments or []), *options.run_overrides(threads, engine)]
    run, graphs = graph.load(file, [phase], overrides, allow_python=allow_python)
    options.use_threads(run, graphs[phase])
    net = Net.from_graph(graphs[phase], engine=run.engine, keep=())
    found = timing.measure(net, iterations)
    net.close()
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        _print(found)
        table.show_bytes(net)


def _print(found: Timing) -> None:
    rows = [
        (
            " + ".join(row.layers),
            " + ".join(row.types),
            f"{row.forward:.3f}",
            f"{row.backward:.3f}",
            f"{row.share:.1%}",
            row.runs_on,
        )
        for row in found.rows
    ]
    titles = ("layer", "type", "forward ms", "backward ms", "share", "runs on")
    table.show(titles, rows, right=titles[2:5])
    typer.echo(
        f"forward {found.forward:.3f} ms, backward {found.backward:.3f} ms "
        f"(engine {found.engine}, medians of {found.iterations})"
    )
