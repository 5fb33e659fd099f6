"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A YAML file that holds a run or a net.", show_default=False)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Override a value, e.g. solver.base_lr=0.01; may be repeated."),
]
Phase = Annotated[str | None, typer.Option("--phase", help="train, test or predict.")]
