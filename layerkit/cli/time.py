"""`layerkit time`: how long each layer takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options, table

if TYPE_CHECKING:
    from layerkit.net import Net
    from layerkit.report.timing import Timing


def time(
    file: options.File,
    assignments: options.Assignments = None,
    phase: options.OnePhase = "train",
    iterations: Annotated[
        int, typer.Option("--iterations", metavar="N", min=1, help="Passes to run; medians are shown.")
    ] = 20,
    threads: options.Threads = None,
    engine: options.Engine = None,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="A,B", help="Engines to measure side by side: numpy,onednn.")
    ] = None,
    allow_python: options.AllowPython = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Measure how long each layer takes.

    Forward and backward, in milliseconds, with what runs it; layers that the engine runs as one share a row. GFLOP/s
    count the multiplications and additions of matrix products in both passes. Below the table: sums, why numpy runs
    what it runs, and the bytes that the net takes up as `layerkit train` would run it.

    Example: layerkit time configs/mlp.yaml --compare numpy,onednn
    """
    from layerkit.errors import UsageError

    if compare is not None and engine is not None:
        raise UsageError("--compare says which engines to measure; leave --engine out")
    wanted = compare.split(",") if compare is not None else [engine]
    if compare is not None and len(set(wanted)) < 2:
        raise UsageError("--compare takes two engines or more, as in --compare numpy,onednn")
    measured = [
        _measure(file, [*(assignments or []), *options.run_overrides(threads, each)], phase, iterations, allow_python)
        for each in wanted
    ]
    if compare is not None:
        _print_compared([timing for _, timing in measured], as_json)
        return
    net, found = measured[0]
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        _print(found)
        table.show_bytes(net)


def _measure(
    file: Path, overrides: Sequence[str], phase: str, iterations: int, allow_python: bool
) -> tuple[Net, Timing]:
    """A net of the file, closed again, and how long its layers took."""
    from layerkit import graph
    from layerkit.net import Net
    from layerkit.report import timing

    run, graphs = graph.load(file, [phase], overrides, allow_python=allow_python)
    options.use_threads(run, graphs[phase])
    net = Net.from_graph(graphs[phase], engine=run.engine, keep=())
    found = timing.measure(net, iterations, run.engine)
    net.close()
    return net, found


def _print(found: Timing) -> None:
    rows = [
        (
            " + ".join(row.layers),
            " + ".join(row.types),
            f"{row.forward:.3f}",
            f"{row.backward:.3f}",
            f"{row.share:.1%}",
            f"{row.gflops:.1f}" if row.gflops else "",
            row.runs_on,
        )
        for row in found.rows
    ]
    titles = ("layer", "type", "forward ms", "backward ms", "share", "GFLOP/s", "runs on")
    omitted = table.show(titles, rows, right=titles[2:6], may_omit=("type", "runs on", "GFLOP/s"))
    typer.echo(
        f"forward {found.forward:.3f} ms, backward {found.backward:.3f} ms "
        f"(engine {found.engine}, medians of {found.iterations})"
    )
    for why in dict.fromkeys(row.why for row in found.rows if row.why):
        layers = ", ".join(" + ".join(row.layers) for row in found.rows if row.why == why)
        typer.echo(f"on numpy, since {why}: {layers}")
    table.note_omitted(omitted)


def _print_compared(timings: Sequence[Timing], as_json: bool) -> None:
    """The engines side by side; how many times as fast as the first one each other one is."""
    from layerkit.report.timing import compare

    compared = compare(timings)
    if as_json:
        rows = [asdict(row) for row in compared]
        typer.echo(json.dumps({"engines": [asdict(timing) for timing in timings], "rows": rows}))
        return
    first, *others = (timing.engine for timing in timings)
    titles = ["layer", "type", f"{first} ms", *(title for name in others for title in (f"{name} ms", "times as fast"))]
    sums = {timing.engine: timing.forward + timing.backward for timing in timings}
    lines = [
        (" + ".join(row.layers), " + ".join(row.types), {name: row.forward[name] + row.backward[name] for name in sums})
        for row in compared
    ]
    cells = [
        (
            layer,
            kind,
            f"{took[first]:.3f}",
            *(text for name in others for text in (f"{took[name]:.3f}", _ratio(took[first], took[name]))),
        )
        for layer, kind, took in [*lines, ("together", "", sums)]
    ]
    table.note_omitted(table.show(titles, cells, right=titles[2:], may_omit=("type",)))
    typer.echo(f"forward and backward, medians of {timings[0].iterations}")


def _ratio(first: float, other: float) -> str:
    return f"{first / other:.1f}" if first and other else ""
