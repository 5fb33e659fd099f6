"""The verbs put together, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from layerkit import __version__
from layerkit.cli.check import check
from layerkit.cli.new import new
from layerkit.cli.summary import summary
from layerkit.cli.test import test
from layerkit.cli.train import train
from layerkit.errors import LayerkitError

app = typer.Typer(
    name="layerkit",
    help="Neural networks and training runs as YAML files, checked before anything runs.",
    epilog="Example: layerkit train configs/mlp.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _verb in (train, test, check, summary, new):
    app.command(no_args_is_help=True)(_verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"layerkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Neural networks and training runs as YAML files, checked before anything runs."""


def main() -> None:
    """Run the command with the arguments of the process."""
    try:
        app()
    except LayerkitError as error:
        sys.stdout.flush()
        typer.echo(str(error), err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
