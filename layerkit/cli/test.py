"""`layerkit test`: measure a trained net on its test samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options, table

if TYPE_CHECKING:
    from layerkit.net import Net


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
    allow_python: options.AllowPython = False,
) -> None:
    """Measure a trained net on its test samples.

    Prints each output of the test net over all samples, a line each: its name and the number. What a metric counts by
    class has a line a class, and a confusion matrix is a table.

    Example: layerkit test configs/mlp.yaml --weights runs/mlp/iter_1000.safetensors
    """
    from layerkit import graph
    from layerkit.evaluation import evaluate
    from layerkit.net import Net
    from layerkit.threads import use

    overrides = [*(assignments or []), *options.run_overrides(threads, engine)]
    run, graphs = graph.load(file, ["test"], overrides, allow_python=allow_python)
    use(run.threads, "blas")
    options.refuse_inputs(graphs["test"], "tested")
    seed = run.solver.random_seed if run.solver is not None else 0
    net = Net.from_graph(graphs["test"], seed=seed, engine=run.engine, keep=())
    net.load_weights(weights)
    batches = iterations if iterations is not None else run.solver.test_iter if run.solver is not None else "all"
    found = evaluate(net, batches)
    net.close()
    for name, value in found.outputs.items():
        typer.echo(f"{name} {value:.6g}")
    for name, values in found.tables.items():
        labels = _labels(net, values.shape[-1])
        if values.ndim == 1:
            for label, value in zip(labels, values, strict=True):
                typer.echo(f"{name}[{label}] {value:.6g}")
        else:
            rows = zip(labels, values.reshape(-1, len(labels)), strict=True)
            table.show([name, *labels], [[label, *(f"{value:.6g}" for value in row)] for label, row in rows], labels)
    typer.echo(f"{found.samples} samples", err=True)


def _labels(net: Net, classes: int) -> list[str]:
    """The classes' names, or their numbers where there are not so many names."""
    from layerkit.layer import SourceLayer

    sources = [layer for layer in net.layers.values() if isinstance(layer, SourceLayer)]
    known = next((source.samples().class_names for source in sources), [])
    return known if len(known) == classes else [str(label) for label in range(classes)]
