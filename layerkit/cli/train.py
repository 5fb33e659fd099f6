"""`layerkit train`: train a net as its file says."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from layerkit.cli import folders, options

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
        typer.Option("--weights", metavar="FILE[,FILE]", help="Start from these weights, where names agree."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random, instead of solver.random_seed.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest snapshot of this run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace runs/NAME instead of making runs/NAME-2.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Train a net as its file says, with tests and snapshots on the way.

    The run's folder runs/NAME holds the resolved config, the event log and the snapshots. Ctrl-C snapshots and ends.

    Example: layerkit train configs/mlp.yaml --set solver.base_lr=0.05
    """
    from layerkit import text
    from layerkit.arrayfile import write_text
    from layerkit.cli.progress import Progress
    from layerkit.errors import UsageError
    from layerkit.solver import Solver
    from layerkit.spec import load_run

    if sum((resume, state is not None, weights is not None)) > 1:
        raise UsageError("give one of --resume, --snapshot and --weights")
    if resume and force:
        raise UsageError("--resume goes on with a run and --force replaces it; give one")
    run = load_run(file, [*(assignments or []), *([] if seed is None else [f"solver.random_seed={seed}"])])
    folder, state = folders.to_resume(run.name) if resume else (folders.to_train(run.name, force), state)
    solver = Solver(run, folder=folder)
    progress = Progress(folder, quiet)
    if not resume and folder.name != run.name:
        progress.note(f"runs/{run.name} exists, so this run goes to {folder} (--force replaces, --resume goes on)")
    solver.open()
    if state is not None:
        _restore(solver, state, progress)
    if weights is not None:
        _start_from(solver, weights, progress)
    if force:
        folders.clear(folder)
    folders.make(folder)
    write_text(folder / "config.yaml", text.dump(run.resolved()))
    solver.events.listen(progress.show)
    with progress, _stopping(solver, progress):
        solver.solve()
    solver.close()
    if solver.stopping:
        raise typer.Exit(130)


def _restore(solver: Solver, state: Path, progress: Progress) -> None:
    changed = solver.restore(state)
    progress.note(f"going on from {state} at iteration {solver.iteration}")
    for line in changed:
        progress.note(f"  changed since then: {line}")


def _start_from(solver: Solver, files: str, progress: Progress) -> None:
    """Copy the weights whose names agree from each file in turn."""
    for file in files.split(","):
        missing = solver.net.load_weights(file, strict=False)
        total = len(solver.net.flat.slots)
        kept = f"; not in it: {', '.join(missing)}" if missing else ""
        progress.note(f"{total - len(missing)} of {total} weights from {file}{kept}")


@contextmanager
def _stopping(solver: Solver, progress: Progress) -> Iterator[None]:
    """While inside, a first Ctrl-C (or SIGTERM) asks the solver to snapshot and end; a second ends at once."""

    def stop(number: int, frame: Any) -> None:
        if solver.stopping:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt
        solver.stopping = True
        progress.note("stopping after this iteration, with a snapshot; once more ends at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
