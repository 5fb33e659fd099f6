"""`layerkit test`: measure a trained net on its test samples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layerkit.cli import options


def test(
    file: options.File,
    weights: Annotated[Path, typer.Option("--weights", metavar="W", help="The snapshot to test.", show_default=False)],
    assignments: options.Assignments = None,
    iterations: Annotated[
        int | None,
        typer.Option("--iterations", metavar="N", min=1, help="Batches to run, instead of solver.test_iter."),
    ] = None,
    threads: options.Threads = None,
    engine: options.Engine = None,
) -> None:
    """Measure a trained net on its test samples.

    Prints the mean of each output of the test net, a line each: its name and the number.

    Example: layerkit test configs/mlp.yaml --weights runs/mlp/iter_1000.safetensors
    """
    from layerkit import graph
    from layerkit.net import Net
    from layerkit.solver import evaluate
    from layerkit.threads import use

    run, graphs = graph.load(file, ["test"], [*(assignments or []), *options.run_overrides(threads, engine)])
    use(run.threads, "blas")
    options.refuse_inputs(graphs["test"], "tested")
    seed = run.solver.random_seed if run.solver is not None else 0
    net = Net.from_graph(graphs["test"], seed=seed, engine=run.engine, keep=())
    net.load_weights(weights)
    batches = iterations if iterations is not None else run.solver.test_iter if run.solver is not None else "all"
    outputs, samples = evaluate(net, batches)
    net.close()
    for name, value in outputs.items():
        typer.echo(f"{name} {value:.6g}")
    typer.echo(f"{samples} samples", err=True)
