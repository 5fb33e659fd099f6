"""`layerkit test`: measure a trained net on its test samples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options, table
from layerkit.words import plural

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
    class has a line a class, and a confusion matrix is a table. Of several test nets all run, and each output's name
    begins with its net's.

    Example: layerkit test configs/mlp.yaml --weights runs/mlp/iter_1000.safetensors
    """
    from layerkit import graph
    from layerkit.cli.progress import left_out
    from layerkit.evaluation import Tests
    from layerkit.layer import SourceLayer
    from layerkit.net import Net

    overrides = [*(assignments or []), *options.run_overrides(threads, engine)]
    run, graphs = graph.load(file, ["test"], overrides, allow_python=allow_python)
    options.use_threads(run, next(iter(graphs.values())))
    batches, seed = ({"test": "all"}, 0) if run.solver is None else (run.solver.tests, run.solver.random_seed)
    nets: dict[str, Net] = {}
    for name, built in zip(batches, graphs.values(), strict=True):
        options.refuse_inputs(built, "tested")
        nets[name] = Net.from_graph(built, seed=seed, engine=run.engine, keep=())
        nets[name].load_weights(weights)
    found = Tests(nets, batches if iterations is None else dict.fromkeys(nets, iterations)).run()
    assert found is not None  # nothing stops it
    net = next(iter(nets.values()))
    for each in nets.values():
        each.close()
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
    typer.echo(f"{found.samples} {plural(found.samples, 'sample')}", err=True)
    for source in (layer for each in nets.values() for layer in each.layers.values() if isinstance(layer, SourceLayer)):
        if source.skipped:
            times, first = sum(source.skipped.values()), next(iter(source.skipped))
            typer.echo(left_out(source.name, "test", times, len(source.skipped), first), err=True)


def _labels(net: Net, classes: int) -> list[str]:
    """The classes' names, or their numbers where there are not so many names."""
    from layerkit.layer import SourceLayer

    sources = [layer for layer in net.layers.values() if isinstance(layer, SourceLayer)]
    known = next((source.samples().class_names for source in sources), [])
    return known if len(known) == classes else [str(label) for label in range(classes)]
