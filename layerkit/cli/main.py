"""The verbs put together, and what becomes of errors."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import typer

from layerkit import __version__
from layerkit.cli import data
from layerkit.cli.check import check
from layerkit.cli.convert import convert
from layerkit.cli.doctor import doctor
from layerkit.cli.draw import draw
from layerkit.cli.layers import layers
from layerkit.cli.new import new
from layerkit.cli.plot import plot
from layerkit.cli.predict import predict
from layerkit.cli.summary import summary
from layerkit.cli.sweep import sweep
from layerkit.cli.test import test
from layerkit.cli.time import time
from layerkit.cli.trace import trace
from layerkit.cli.train import train
from layerkit.errors import LayerkitError

EPILOG = """Example: layerkit train configs/mlp.yaml

Exit status: 0 done; 2 something to mend, said on standard error; 130 ended by Ctrl-C (143 by SIGTERM, 141 by a closed
pipe); 1 a bug in layerkit, with a traceback."""

app = typer.Typer(
    name="layerkit",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_OptionError = cast(type[Exception], typer.BadParameter.mro()[2])
"""What typer raises for a wrong option or argument: click's ClickException, or typer's own copy of it."""


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


def _guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with every error that is no bug turned into a sentence and an exit status."""

    @functools.wraps(verb)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            verb(*args, **kwargs)
            sys.stdout.flush()
        except LayerkitError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of a pipe went away, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except OSError as error:
            _fail(_sentence(error))
        except MemoryError as error:
            _fail(f"not enough memory{f': {error}' if str(error) else ''}; a smaller batch_size may fit")

    return guarded


def _sentence(error: OSError) -> str:
    """What could not be used or written; of standard output the system tells no name."""
    from layerkit.arrayfile import FULL  # numpy comes along, which a help does not wait for

    reason = error.strerror or str(error)
    if error.errno in FULL:
        return f"cannot write{_place(error)}: the disk is full"
    return f"cannot use{_place(error)}: {reason}" if _place(error) else reason


def _place(error: OSError) -> str:
    return "" if error.filename is None else f" {error.filename!r}"


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)


for _verb in (train, sweep, test, predict, check, summary, draw, trace, plot, time, convert):
    app.command(no_args_is_help=True)(_guarded(_verb))
app.command()(_guarded(new))
app.command()(_guarded(doctor))
app.command()(_guarded(layers))


_data = typer.Typer(epilog=data.EPILOG, no_args_is_help=True, rich_markup_mode=None)
for _each in data.VERBS:
    _data.command(no_args_is_help=_each.__name__ != "info")(_guarded(_each))
app.add_typer(_data, name="data", help=data.HELP)


def main() -> None:
    """Run the command with the arguments of the process."""
    _open_streams()
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except _OptionError as error:
        sys.exit(_report(cast(Any, error)))
    except OSError as error:  # of a help that cannot be printed; a verb's own errors are sentences already
        typer.echo(_sentence(error), err=True)
        sys.exit(2)
    sys.exit(status)


def _open_streams() -> None:
    """Let streams that the caller has closed (`>&-`) read and write nothing; Python has None in their places."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open to the end


def _report(error: Any) -> int:
    """Print what is wrong with the options, and where their help is; returns the exit status."""
    context = getattr(error, "ctx", None)
    message = str(error.format_message()).strip()
    if "\n" not in message and context is not None:  # several lines are the help itself, where nothing was given
        message = f"{message.rstrip('.')} (see {context.command_path} --help)"
    typer.echo(message, err=True)
    return 2
