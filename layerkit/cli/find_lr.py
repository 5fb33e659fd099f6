"""`layerkit train --find-lr`: the range test, printed, plotted and written as CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from layerkit.cli import options, table

if TYPE_CHECKING:
    from layerkit.cli.progress import Progress
    from layerkit.graph import Loaded
    from layerkit.range_test import RangeTest
    from layerkit.solver import Solver

TABLE = "find_lr.csv"
ROWS = 20
"""Lines of the printed table; the CSV has all."""


def find_lr(
    loaded: Loaded,
    folder: Path,
    first: float | None,
    last: float | None,
    count: int | None,
    *,
    start_from: Callable[[Solver, Progress], None] | None,
    quiet: bool,
) -> None:
    """Do the range test on a net of its own, print what came of it, and write it to `folder`, and nothing else.

    The rate grows from `first` (by default 1e-7) to `last` (10) in `count` (100) iterations. `start_from` loads
    weights into the solver's net, if it is to start from any.
    """
    from layerkit import range_test
    from layerkit.arrayfile import write_text
    from layerkit.cli.bar import Bar
    from layerkit.cli.progress import Progress
    from layerkit.errors import UsageError
    from layerkit.net import Net

    run, built = loaded.run, loaded.graphs["train"]
    if run.solver is None:
        raise UsageError(f"the run {run.name!r} has no 'solver', so there is nothing to train by")
    options.refuse_inputs(built, "trained")
    options.use_threads(run, built)
    first, last, count = 1e-7 if first is None else first, 10.0 if last is None else last, count or 100
    net = Net.from_graph(built, seed=run.solver.random_seed, engine=run.engine, keep=())
    solver = range_test.RangeSolver.over(net, run.solver, first, last, count)
    solver.open()
    if start_from is not None:
        start_from(solver, Progress(folder, quiet))
    with Bar(count, quiet) as bar:
        found = range_test.find(solver, lambda rate, loss: bar.advance(f"lr {rate:.2g}  loss {loss:.4g}"))
    solver.close()
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / TABLE, range_test.to_csv(found))
    _print(found, count)
    if not quiet:
        typer.echo(f"all {len(found.rates)} iterations are in {folder / TABLE}; no weights were kept", err=True)


def _print(found: RangeTest, count: int) -> None:
    from layerkit.range_test import window
    from layerkit.report.text_plot import Line, chart

    every = -(-len(found.rates) // ROWS)
    shown = [i for i in range(len(found.rates)) if i % every == 0 or i in (found.lowest, found.steepest)]
    notes = {found.lowest: "lowest", found.steepest: "steepest"} if found.steepest is not None else {}
    cells = [
        [str(i), *(f"{column[i]:.4g}" for column in (found.rates, found.losses, found.smooth, found.slopes)), note]
        for i, note in ((i, notes.get(i, "")) for i in shown)
    ]
    titles = ["iteration", "lr", "loss", f"mean of {window(count)}", "slope per decade"]
    table.show([*titles, ""], cells, titles)
    marks: dict[float, str] = {}
    if found.suggestion is not None:
        lowest = float(found.rates[found.lowest])
        marks = {found.suggestion: f"steepest at {found.suggestion:.2g}", lowest: f"lowest at {lowest:.2g}"}
    start, bottom = float(found.smooth[0]), float(found.smooth[found.lowest])
    line = Line(found.rates.tolist(), found.smooth.tolist())
    drawn = chart([line], marks, top=2 * start - bottom, log_x=True)
    typer.echo("\n" + "\n".join(drawn.lines) + "\n")
    typer.echo(_advice(found))


def _advice(found: RangeTest) -> str:
    """What the test suggests, and why."""
    last = float(found.rates[-1])
    end = "" if found.diverged is None else f" and diverged at {found.diverged:.2g}"
    if found.suggestion is None:
        hint = "try smaller rates with --from" if found.diverged is not None else "try greater rates with --to"
        return f"no suggestion: up to {last:.2g} the loss fell by no more than it differs between batches{end}; {hint}"
    lowest = float(found.rates[found.lowest])
    where = f"it was lowest at {lowest:.2g}{end}"
    if found.diverged is None and found.lowest >= len(found.rates) - 2:
        where = f"at {last:.2g} it still fell, so try greater rates with --to"
    return (
        f"suggestion: --set solver.base_lr={found.suggestion:.2g}, where the loss fell fastest; {where}. "
        f"A rate that is to stay for long should be below the lowest's, a tenth of it for instance."
    )
