"""`layerkit sweep`: train a run with several values of some of its settings, and compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from layerkit.cli import folders, options, table
from layerkit.cli.interrupts import caught
from layerkit.threads import MOST
from layerkit.words import plural

if TYPE_CHECKING:
    from layerkit.cli.bar import Bar
    from layerkit.sweep import Combination, Result, Sweep

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="A.B=V,W", help="A value, or several to try; lists in brackets: [3,5],[5,5]. May be repeated."
    ),
]


def sweep(
    file: options.File,
    assignments: Assignments = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="Runs at a time.")] = 1,
    picks: Annotated[
        int | None, typer.Option("--random", metavar="N", min=1, help="N random runs of the grid, not all.")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="What --random draws; the runs' own is solver.random_seed.")
    ] = 0,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Order by this output of the test net, or train_loss."),
    ] = None,
    best: Annotated[
        Literal["max", "min"] | None,
        typer.Option("--best", metavar="max|min", help="Which is best; by default max for metrics, min for losses."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="N", min=1, max=MOST, help="Threads of all jobs together, which share them."),
    ] = None,
    engine: options.Engine = None,
    allow_python: options.AllowPython = False,
    force: Annotated[bool, typer.Option("--force", help="Begin every run again, and replace what there is.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the table and errors, nothing else.")] = False,
) -> None:
    """Train with every combination of some values, and compare.

    Each run is a process with a folder of its own below runs/NAME-sweep, which gets the table as sweep.csv, too. All
    combinations are checked before anything runs. Ctrl-C ends all runs with a snapshot each; the same command goes on
    with what is not finished, and tries again what failed.

    Example: layerkit sweep configs/mlp.yaml --set solver.base_lr=0.1,0.01 --jobs 2
    """
    from layerkit import graph
    from layerkit.cli.bar import Bar
    from layerkit.sweep import Sweep, default_goal, plan

    always = options.run_overrides(None, engine)
    combinations = plan(file, assignments or [], picks=picks, seed=seed, always=always, allow_python=allow_python)
    run, settings = combinations[0].run, [*combinations[0].assignments, *always]
    first = graph.load(file, ["train"], settings, allow_python=allow_python).graphs["train"]
    options.refuse_inputs(first, "trained")
    name, goal = default_goal(combinations, by)
    whole = Sweep(file, combinations, folders.RUNS / f"{run.name}-sweep", by=name, best=best or goal)
    jobs = min(jobs, len(combinations))
    each = _threads_each(options.wanted_threads(threads or run.threads, first), jobs)
    ready = sum(result.state == "finished" for _, result in whole.results()) if not force else 0
    with Bar(len(combinations), quiet) as bar, _stopping(whole, bar) as received:
        runs = f"{len(combinations)} {plural(len(combinations), 'run')}"
        bar.line(f"{runs} in {whole.folder}, {jobs} at a time, threads of each: {each}")
        if ready:
            bar.line(f"{ready} of them are finished already")
        for _ in range(ready):
            bar.advance()
        passed = [*(["--engine", engine] if engine else []), *(["--allow-python"] if allow_python else [])]
        whole.run(jobs, each, passed, force=force, told=_Teller(bar, whole, ready))
    rows = whole.results()
    _print(rows)
    _conclude(rows, received)


def _threads_each(total: int | None, jobs: int) -> int:
    """Threads of each job: the same for all, so that no run's last bits depend on when its turn comes."""
    from layerkit import threads

    return max(1, (total or threads.default()) // jobs)


class _Teller:
    """Says what became of each run as it ends, and the best of all beside the bar."""

    def __init__(self, bar: Bar, whole: Sweep, ready: int):
        self._bar = bar
        self._sweep = whole
        self._count = ready

    def __call__(self, combination: Combination, result: Result) -> None:
        by, total = self._sweep.by, len(self._sweep.combinations)
        self._count += result.state != "interrupted"
        value, best = result.value(by), self._sweep.results()[0][1].value(by)
        number = f"  {by} {value:.4f}" if value is not None and not result.error else ""
        what = f"{_became(result)}{number}  ({result.seconds:.1f} s)"
        self._bar.line(f"{self._count:{len(str(total))}d}/{total}  {combination.label}  {what}")
        if result.state != "interrupted":
            self._bar.advance("" if best is None else f"best {by} {best:.4f}")


def _became(result: Result) -> str:
    """What became of a run, in a few words or the sentence of its error."""
    if result.state == "failed":
        return f"failed: {result.error}"
    if result.state == "finished" and result.reason not in ("", "finished"):
        return f"finished: {result.reason}"
    return result.state


def _print(rows: Sequence[tuple[Combination, Result]]) -> None:
    from layerkit.sweep import output_names

    outputs = [name for name in output_names(rows) if any(result.value(name) is not None for _, result in rows)]
    varied = list(rows[0][0].values)
    cells = []
    for combination, result in rows:
        numbers = [result.value(name) for name in outputs]
        shown = ["" if number is None else f"{number:.4f}" for number in numbers]
        cells.append(
            [*combination.values.values(), *shown, str(result.iteration), f"{result.seconds:.1f}", _became(result)]
        )
    table.show([*varied, *outputs, "iterations", "seconds", "state"], cells, [*outputs, "iterations", "seconds"])


def _conclude(rows: Sequence[tuple[Combination, Result]], received: Sequence[int]) -> None:
    """Say how to go on, if there is something to go on with; the exit status tells, too."""
    open_ones = sum(result.state in ("interrupted", "not begun") for _, result in rows)
    failed = sum(result.state == "failed" for _, result in rows)
    of_all = f"{len(rows)} {plural(len(rows), 'run')}"
    if failed:
        where = "all that they said is in errors.txt in their folders"
        typer.echo(f"{failed} of {of_all} failed; {where}; the same command tries them again", err=True)
    if open_ones:
        are, them = ("is", "it") if open_ones == 1 else ("are", "them")
        typer.echo(f"{open_ones} of {of_all} {are} not finished; the same command goes on with {them}", err=True)
    if received and open_ones:
        raise typer.Exit(128 + received[0])
    if failed or open_ones:
        raise typer.Exit(2)


@contextmanager
def _stopping(whole: Sweep, bar: Bar) -> Iterator[list[int]]:
    """While inside, a first Ctrl-C (or SIGTERM) ends all runs with a snapshot each; a second ends them at once.

    Gives the list of the signals that came.
    """

    def stop() -> None:
        whole.stop()
        if len(received) == 1:
            bar.line("ending all runs, each with a snapshot; once more ends them at once")

    with caught(stop) as received:
        yield received
