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
        typer.Option("--iterations", min=1, help="Batches to run; left out: test_iter, or every sample once."),
    ] = None,
) -> None:
    """Run the test net over its samples and print the mean of each output.

    Example: layerkit test configs/mlp.yaml --weights runs/mlp/iter_1000.safetensors
    """
    from layerkit.graph import build
    from layerkit.net import Net
    from layerkit.solver import evaluate
    from layerkit.spec import load_run

    run = load_run(file, assignments or [])
    spec = run.solver
    state = spec.test_state if spec is not None else None
    net = Net.from_graph(build(run.net, "test", state.level if state else 0, state.stage if state else ()))
    net.load_weights(weights)
    batches = iterations if iterations is not None else spec.test_iter if spec is not None else "all"
    outputs, samples = evaluate(net, batches)
    net.close()
    for name, value in outputs.items():
        typer.echo(f"{name} {value:.6g}")
    typer.echo(f"{samples} samples", err=True)
