"""`layerkit check`: validate a file without running anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import options, table
from layerkit.cli.gradients import print_gradients

if TYPE_CHECKING:
    from layerkit.graph import Graph
    from layerkit.spec import RunSpec


def check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A YAML file that holds a run or a net.", show_default=False)
    ] = None,
    assignments: options.Assignments = None,
    phase: options.Phase = None,
    memory: Annotated[
        bool, typer.Option("--memory", help="Print the bytes that each phase's net takes up as `train` runs it.")
    ] = False,
    engine: options.Engine = None,
    allow_python: options.AllowPython = False,
    gradients: Annotated[
        bool, typer.Option("--gradients", help="Compare every layer's gradients with differences, in float64.")
    ] = False,
    layer: Annotated[
        str | None, typer.Option("--layer", metavar="NAME", help="With --gradients: this layer alone.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --gradients: print one JSON object.")] = False,
    expand: Annotated[bool, typer.Option("--expand", help="Print the layers with blocks and names filled in.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of all files, for editors; without FILE.")
    ] = False,
) -> None:
    """Validate a file: all its errors, with line and column.

    Every phase of the net is built, without reading any samples; files that are not there are noted on standard
    error, and images that will not fit, by the headers of a few. With --phase, prints the net of that phase as YAML
    (predict is derived from the test net); with --expand, the layers of all phases, out of their blocks, with names,
    bottoms and tops filled in. With --schema alone, prints what an editor needs to complete, explain and underline as
    one types. With --gradients, each layer of the train net, or that of --phase, runs alone: as configured, with a
    small batch of random values; the exit status is 2 if one of them has a wrong gradient.

    Example: layerkit check configs/mlp.yaml --phase predict
    """
    from layerkit import graph, text
    from layerkit.errors import Problems, UsageError

    if schema:
        others = {"--set": assignments, "--phase": phase, "--engine": engine, "--layer": layer, "--json": as_json}
        options.refuse_beside("--schema", {**others, "--memory": memory, "--expand": expand, "--gradients": gradients})
        _print_schema(file)
        return
    if file is None:
        raise UsageError("check needs the FILE to check, or --schema alone")
    if not gradients and (layer is not None or as_json):
        raise UsageError(f"{'--json' if layer is None else '--layer'} goes with --gradients")
    if phase and expand:
        raise UsageError("--phase prints the net of one phase and --expand the layers of all; give one")
    overrides = [*(assignments or []), *options.run_overrides(None, engine)]
    if gradients:
        options.refuse_beside("--gradients", {"--memory": memory, "--expand": expand, "--engine": engine})
        chosen = phase or "train"
        run, graphs = graph.load(file, [chosen], overrides, allow_python=allow_python)
        print_gradients(graphs[chosen], run.threads, layer, as_json)
        return
    run, graphs = graph.load(file, [phase] if phase else None, overrides, allow_python=allow_python)
    if expand:
        layers = [flat.tree for flat in graph.expand(run.net, Problems())]
        typer.echo(text.dump({"name": run.name, "layers": layers}), nl=False)
    elif phase:
        layers = [graph.as_tree(node.spec) for node in graphs[phase].nodes]
        typer.echo(text.dump({"name": run.name, "layers": layers}), nl=False)
    else:
        _check_metrics(run, graphs)
        listed = ", ".join(f"{each} {len(built.nodes)}" for each, built in graphs.items())
        typer.echo(f"{file}: ok (layers: {listed})")
    if memory:
        _print_memory(graphs, run)
    _note_samples(graphs.values())


def _print_schema(file: Path | None) -> None:
    from layerkit.errors import UsageError
    from layerkit.registry import layer_types
    from layerkit.report import schema

    if file is not None:
        raise UsageError(f"--schema prints the schema of all files; leave {str(file)!r} out")
    typer.echo(schema.text(layer_types()), nl=False)


def _check_metrics(run: RunSpec, graphs: Mapping[str, Graph]) -> None:
    """Raise what the solver would say of the outputs by which the run is to be steered."""
    from layerkit.best import Best
    from layerkit.evaluation import makers
    from layerkit.policies import Plateau

    tests = [built for key, built in graphs.items() if key.startswith("test")]
    if run.solver is None or not tests:
        return
    known = makers(dict(zip(run.solver.tests, tests, strict=True)))
    if Best.wanted(run.solver):
        Best(run.solver, known)
    if run.solver.lr_policy == "plateau":
        Plateau(run.solver).expect(known)


def _print_memory(graphs: Mapping[str, Graph], run: RunSpec) -> None:
    """Plan each phase's net, and print where its bytes go; a test net's weights are those of the train net."""
    from layerkit.net import Net
    from layerkit.report.memory import prepare

    train: Net | None = None
    for phase, built in graphs.items():
        net = Net.from_graph(built, engine=run.engine, keep=(), share=train)
        train = train or net
        prepare(net)
        table.show_bytes(net, f"{phase}: ", without=() if net is train else ("weights",))


def _note_samples(graphs: Iterable[Graph]) -> None:
    """Say which files are not on this machine, and which will not do: the config is right all the same."""
    notes: dict[str, None] = {}
    for graph in graphs:
        for node in graph.nodes:
            note = node.layer.missing() or node.layer.doubts()
            if note is not None:
                notes[f"note: {node.spec.problem(note)}"] = None
    for note in notes:
        typer.echo(note, err=True)
