"""Arguments and options that several verbs share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import complete
from layerkit.threads import MOST

if TYPE_CHECKING:
    from layerkit.graph import Graph
    from layerkit.spec import RunSpec

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A YAML file that holds a run or a net.", show_default=False)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Override a value, e.g. solver.base_lr=0.01; may be repeated."),
]
Phase = Annotated[
    str | None,
    typer.Option("--phase", metavar="PHASE", help="train, test or predict.", autocompletion=complete.phases),
]
OnePhase = Annotated[
    str, typer.Option("--phase", metavar="PHASE", help="train, test or predict.", autocompletion=complete.phases)
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", min=1, max=MOST, help="Threads that compute, instead of threads in the file."
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="What runs the layers: auto, numpy or onednn, instead of engine in the file.",
        autocompletion=complete.engines,
    ),
]

Samples = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A known set, a file or folder of samples, or a YAML file with a layer that reads some.",
        show_default=False,
        autocompletion=complete.sets,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Kind of the dataset, where its path does not tell it.",
        autocompletion=complete.kinds,
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A=VALUE", help="Set a field of the kind, or a value of the YAML file; repeatable."),
]
Resize = Annotated[
    str | None, typer.Option("--resize", metavar="HxW", help="Height and width that images are resized to.")
]
Part = Annotated[str | None, typer.Option("--part", metavar="PART", help="Part of the dataset, such as test.")]
Skip = Annotated[bool, typer.Option("--skip", help="Leave out samples that cannot be used, and say which.")]

AllowPython = Annotated[
    bool,
    typer.Option("--allow-python", help="Let layers of type Python run the code that the file names."),
]


def run_overrides(threads: int | None, engine: str | None) -> list[str]:
    """The assignments by which --threads and --engine win over the file; none for an option that is not given."""
    given = {"threads": threads, "engine": engine}
    return [f"{name}={value}" for name, value in given.items() if value is not None]


def refuse_beside(what: str, others: Mapping[str, object]) -> None:
    """Raise UsageError for the first option that is given and would do nothing beside `what`."""
    from layerkit.errors import UsageError

    for option, value in others.items():
        if value:
            raise UsageError(f"{option} means nothing beside {what}")


def size_of(text: str | None) -> tuple[int, int] | None:
    """The height and width that --resize says. Raises UsageError."""
    from layerkit.errors import UsageError

    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and 0 < int(side) < 100_000 for side in sides):
        raise UsageError(f"--resize takes a height and a width in pixels, as 32x48, not {text!r}")
    return int(sides[0]), int(sides[1])


def use_threads(run: RunSpec, graph: Graph) -> None:
    """Compute on the threads that the run or the environment asks for; else on one where there is little to compute."""
    from layerkit.threads import use

    use(wanted_threads(run.threads, graph), "blas")


def wanted_threads(said: int | None, graph: Graph) -> int | None:
    """Threads of a net by what is said, or by its size where nobody says anything; None: as many as there are."""
    from layerkit.graph.effort import threads_for
    from layerkit.threads import asked

    return said or (None if asked(os.environ) else threads_for(graph))


def refuse_inputs(graph: Graph, done: str) -> None:
    """Raise UsageError if a net waits for a caller to fill its inputs: the command line has no samples for them."""
    from layerkit.errors import UsageError

    for node in graph.nodes:
        if node.spec.type == "Input":
            tops = ", ".join(repr(ref.name) for ref in node.tops)
            raise UsageError(
                f"layer {node.name!r} (Input) waits for a caller to fill {tops}, so the net cannot be {done} "
                "from the command line; use it from Python, or give it a Data layer"
            )
