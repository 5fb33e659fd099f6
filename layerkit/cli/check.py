"""`layerkit check`: validate a file without running anything."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from layerkit.cli import options


def check(
    file: options.File,
    assignments: options.Assignments = None,
    phase: options.Phase = None,
    expand: Annotated[bool, typer.Option("--expand", help="Print the net without blocks and defaults.")] = False,
) -> None:
    """Validate a file: every error at once, each with its line and column.

    With --phase, print the net of that phase, as YAML; predict is derived from the test net.

    Example: layerkit check configs/mlp.yaml --phase predict
    """
    from layerkit import text
    from layerkit.errors import Problems
    from layerkit.graph import as_tree, build, phases_of
    from layerkit.graph import expand as expand_blocks
    from layerkit.spec import load_run

    run = load_run(file, assignments or [])
    graphs = {each: build(run.net, each, *_state(run, each)) for each in ([phase] if phase else phases_of(run))}
    if expand:
        layers = [flat.tree for flat in expand_blocks(run.net, Problems())]
        typer.echo(text.dump({"name": run.name, "layers": layers}), nl=False)
    elif phase:
        layers = [as_tree(node.spec) for node in graphs[phase].nodes]
        typer.echo(text.dump({"name": run.name, "layers": layers}), nl=False)
    else:
        listed = ", ".join(f"{each} {len(graph.nodes)}" for each, graph in graphs.items())
        typer.echo(f"{file}: ok (layers: {listed})")
    _note_missing_sources(graphs.values())


def _state(run: Any, phase: str) -> tuple[int, list[str]]:
    """Level and stages that the solver gives a phase's net."""
    if run.solver is None:
        return 0, []
    state = run.solver.train_state if phase == "train" else run.solver.test_state
    return state.level, state.stage


def _note_missing_sources(graphs: Any) -> None:
    """Say which sources are not on this machine: the file is right all the same."""
    from layerkit.errors import DataError

    notes: dict[str, None] = {}
    for graph in graphs:
        for node in graph.nodes:
            try:
                node.layer.open()
            except DataError as error:
                notes[str(node.spec.problem(f"note: {error}"))] = None
            else:
                node.layer.close()
    for note in notes:
        typer.echo(note, err=True)
