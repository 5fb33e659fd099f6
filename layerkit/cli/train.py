"""`layerkit train`: train a net as its file says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layerkit.cli import folders, options, table

if TYPE_CHECKING:
    from layerkit.cli.progress import Progress
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
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train a net, with tests and snapshots on the way.

    The run's folder, runs/NAME, gets the resolved config, the event log and the snapshots. Ctrl-C ends the run with a
    snapshot, from which --resume goes on; a second Ctrl-C ends it at once.

    For fine-tuning, --weights prints a table of what was loaded, of what the file has besides (skipped) and of what it
    lacks (missing: filled as the net says). A weight of another shape is an error: to train its layer afresh, rename
    it.

    Example: layerkit train configs/mlp.yaml --set solver.base_lr=0.05
    """
    from layerkit import graph, text
    from layerkit.arrayfile import write_text
    from layerkit.cli.progress import Progress
    from layerkit.errors import UsageError
    from layerkit.report import doctor
    from layerkit.solver import Solver
    from layerkit.threads import use

    if sum((resume, state is not None, weights is not None)) > 1:
        raise UsageError("give one of --resume, --snapshot and --weights")
    if strict and weights is None:
        raise UsageError("--strict says what --weights may differ in; give that too, or leave --strict out")
    if resume and force:
        raise UsageError("--resume goes on with a run and --force replaces it; give one")
    overrides = [*(assignments or []), *([] if seed is None else [f"solver.random_seed={seed}"])]
    overrides += options.run_overrides(threads, engine)
    loaded = graph.load(file, overrides=overrides, allow_python=allow_python)
    run = loaded.run
    folder, state = folders.to_resume(run.name) if resume else (folders.to_train(run.name, force), state)
    if force:
        folders.keep_inputs(folder, [Path(path) for path in ([state] if state else (weights or "").split(",")) if path])
    if run.solver is not None:
        options.refuse_inputs(loaded.graphs["train"], "trained")
    use(run.threads, "blas")
    solver = Solver(loaded, folder=folder, keep=(), allow_python=allow_python)
    progress = Progress(folder, quiet)
    solver.open()
    if solver.predict_missing is not None:
        progress.note(f"note: snapshots will hold no predict net: {solver.predict_missing}")
    if state is not None:
        _restore(solver, state, progress)
    if weights is not None:
        _start_from(solver, weights, strict, progress)
    if not resume:
        if folder.name != run.name:
            progress.note(f"{folders.RUNS / run.name} exists, so this run goes to {folder} (--force replaces it)")
        folders.make(folder, replace=force)
    write_text(folder / "config.yaml", text.dump(run.resolved()))
    advice = doctor.advice() if run.engine == "auto" else None
    if advice is not None:
        progress.note(f"note: {advice}")
    solver.events.listen(progress.show)
    with progress, _stopping(solver, progress) as stopped_by:
        solver.solve()
    solver.close()
    if solver.stopping and not solver.finished:
        raise typer.Exit(128 + stopped_by[0])


def _restore(solver: Solver, state: Path, progress: Progress) -> None:
    changed = solver.restore(state)
    progress.note(f"going on from {state} at iteration {solver.iteration}")
    for line in changed:
        progress.note(f"  changed since then: {line}")
    if solver.iteration >= solver.spec.max_iter:
        progress.note(f"that is max_iter already; more: --set solver.max_iter={2 * solver.iteration}")


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
def _stopping(solver: Solver, progress: Progress) -> Iterator[list[int]]:
    """While inside, a first Ctrl-C (or SIGTERM) asks the solver to snapshot and end; a second ends at once.

    Gives the list of the signals that came.
    """
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        if solver.stopping:
            raise KeyboardInterrupt
        solver.stopping = True
        progress.note("ending after this iteration, with a snapshot; once more ends at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
