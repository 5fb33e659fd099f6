"""`layerkit train`: train a net as its file says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import folders, options, table
from layerkit.cli.interrupts import caught

if TYPE_CHECKING:
    from layerkit.cli.progress import Progress
    from layerkit.events import Event
    from layerkit.report.tensorboard import Board
    from layerkit.solver import Solver


def train(
    file: options.File,
    assignments: options.Assignments = None,
    state: Annotated[
        Path | None,
        typer.Option("--snapshot", metavar="STATE", help="Go on from this solver state (iter_N.state.safetensors)."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="FILE[,FILE]", help="Start from these weights, where names agree; see --strict."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Let --weights lack no weight of the net, and hold no others.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Seed of everything random, instead of solver.random_seed."),
    ] = None,
    threads: options.Threads = None,
    engine: options.Engine = None,
    allow_python: options.AllowPython = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest snapshot of this run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace runs/NAME instead of making runs/NAME-2.")] = False,
    given: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="The run's folder, instead of runs/NAME.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="Also write what TensorBoard shows to DIR.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    range_test: Annotated[
        bool, typer.Option("--find-lr", help="Only try ever greater rates on a copy, and suggest one.")
    ] = False,
    first: Annotated[
        float | None, typer.Option("--from", metavar="LR", help="The smallest of --find-lr; 1e-7 if left out.")
    ] = None,
    last: Annotated[
        float | None, typer.Option("--to", metavar="LR", help="The greatest of --find-lr; 10 if left out.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="N", min=10, help="Updates of --find-lr; 100 if left out.")
    ] = None,
) -> None:
    """Train a net, with tests and snapshots on the way.

    The run's folder, runs/NAME, gets the resolved config, the event log and the snapshots. Ctrl-C ends the run with a
    snapshot, from which --resume goes on; a second Ctrl-C ends it at once.

    For fine-tuning, --weights prints a table of what was loaded, of what the file has besides (skipped) and of what it
    lacks (missing: filled as the net says). A weight of another shape is an error: to train its layer afresh, rename
    it.

    With --find-lr nothing is trained for good: the learning rate grows until the loss diverges, and a table, a plot and
    the rate at which the loss fell fastest are printed. The whole table goes to runs/NAME-find-lr/find_lr.csv.

    `layerkit plot` draws the event log, shows it as tables, and writes it as CSV or for TensorBoard.

    Example: layerkit train configs/mlp.yaml --set solver.base_lr=0.05
    """
    from layerkit import graph, text
    from layerkit.arrayfile import write_text
    from layerkit.cli.find_lr import find_lr
    from layerkit.cli.progress import Progress
    from layerkit.errors import UsageError
    from layerkit.report import doctor
    from layerkit.report.tensorboard import Board
    from layerkit.solver import Solver

    if sum((resume, state is not None, weights is not None)) > 1:
        raise UsageError("give one of --resume, --snapshot and --weights")
    if strict and weights is None:
        raise UsageError("--strict says what --weights may differ in; give that too, or leave --strict out")
    course = (first, last, iterations)
    if range_test and (resume or force or state is not None or tensorboard is not None):
        raise UsageError("--find-lr starts afresh or from --weights, and replaces no run; leave the other option out")
    if course != (None, None, None) and not range_test:
        raise UsageError("--from, --to and --iterations say how --find-lr goes; give it too, or leave them out")
    if resume and force:
        raise UsageError("--resume goes on with a run and --force replaces it; give one")
    overrides = [*(assignments or []), *([] if seed is None else [f"solver.random_seed={seed}"])]
    overrides += options.run_overrides(threads, engine)
    loaded = graph.load(file, overrides=overrides, allow_python=allow_python)
    run = loaded.run
    if range_test:
        place = given or folders.RUNS / f"{run.name}-find-lr"
        start = None if weights is None else (lambda solver, notes: _start_from(solver, weights, strict, notes))
        find_lr(loaded, place, *course, start_from=start, quiet=quiet)
        return
    folder, state = folders.to_resume(run.name, given) if resume else (folders.to_train(run.name, force, given), state)
    if force:
        folders.keep_inputs(folder, [Path(path) for path in ([state] if state else (weights or "").split(",")) if path])
    if run.solver is not None:
        options.refuse_inputs(loaded.graphs["train"], "trained")
    options.use_threads(run, loaded.graphs["train"])
    debug = run.solver is not None and run.solver.debug_info
    solver = Solver(loaded, folder=folder, keep="all" if debug else (), allow_python=allow_python)
    progress = Progress(folder, quiet)
    if debug:
        progress.note("note: debug_info reads every blob, so that memory is not planned; training takes more of it")
    solver.open()
    if solver.predict_missing is not None:
        progress.note(f"note: snapshots will hold no predict net: {solver.predict_missing}")
    if state is not None:
        _restore(solver, state, progress)
    if weights is not None:
        _start_from(solver, weights, strict, progress)
    board = None if tensorboard is None else Board(tensorboard)
    if not resume:
        if given is None and folder.name != run.name:
            progress.note(f"{folders.RUNS / run.name} exists, so this run goes to {folder} (--force replaces it)")
        folders.make(folder, replace=force)
    write_text(folder / "config.yaml", text.dump(run.resolved()))
    advice = doctor.advice() if run.engine == "auto" else None
    if advice is not None:
        progress.note(f"note: {advice}")
    solver.events.listen(progress.show)
    with progress, _drawing(board, solver, progress), _stopping(solver, progress) as stopped_by:
        solver.solve()
    solver.close()
    if solver.reason == "interrupted":
        raise typer.Exit(128 + stopped_by[0])


def _restore(solver: Solver, state: Path, progress: Progress) -> None:
    changed = solver.restore(state)
    progress.note(f"going on from {state} at iteration {solver.iteration}")
    for line in changed:
        progress.note(f"  changed since then: {line}")
    if solver.iteration >= solver.spec.iterations:
        epochs = solver.spec.max_epochs
        field, more = ("max_iter", 2 * solver.iteration) if epochs is None else ("max_epochs", 2 * epochs)
        progress.note(f"that is {field} already; more: --set solver.{field}={more}")
    elif solver.finished:
        progress.note("early_stopping has ended this run; more: a greater patience in solver.early_stopping")


def _start_from(solver: Solver, files: str, strict: bool, progress: Progress) -> None:
    """Copy the weights whose names agree from each file in turn, and show how they do."""
    from layerkit.errors import UsageError
    from layerkit.weights import read_weights

    arrays, flat = {}, solver.net.flat
    for file in files.split(","):
        held = read_weights(file)
        found = flat.match(held, file)
        if not progress.quiet:
            table.show(found.titles, found.rows)
        found.expect(strict=False)
        if not found.loaded:
            raise UsageError(f"{file}: no weight in it has the name of one of this net's: {', '.join(found.missing)}")
        progress.note(found.summary)
        arrays.update(held)
    flat.load(arrays, files, strict)


@contextmanager
def _drawing(board: Board | None, solver: Solver, progress: Progress) -> Iterator[None]:
    """While inside, the board takes every event. Where it cannot be written, training goes on without it."""
    if board is None:
        yield
        return
    from layerkit.errors import DataError

    lost = False

    def take(event: Event) -> None:
        nonlocal lost
        if lost:
            return
        try:
            board.take(event)
        except DataError as error:
            lost = True
            progress.note(f"note: {error}; training goes on without, and `layerkit plot` can write it later")

    solver.events.listen(take)
    try:
        yield
    finally:
        board.close()


@contextmanager
def _stopping(solver: Solver, progress: Progress) -> Iterator[list[int]]:
    """While inside, a first Ctrl-C (or SIGTERM) asks the solver to snapshot and end; a second ends at once.

    Gives the list of the signals that came.
    """

    def stop() -> None:
        if solver.stopping:
            raise KeyboardInterrupt
        solver.stopping = True
        progress.note("ending after this iteration, with a snapshot; once more ends at once")

    with caught(stop) as received:
        yield received
