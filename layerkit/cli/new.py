"""`layerkit new`: copy a shipped config next to the user, or write one for samples that they have."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from layerkit.cli import complete, options, table

_SCHEMA = "# yaml-language-server: $schema="
"""What tells an editor, on a file's first line, where the schema lies: beside the shipped configs."""


def new(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A shipped config, or with --data a name; left out: list those shipped.",
            show_default=False,
            autocompletion=complete.shipped,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help="Write a config for these samples: a known set, a file, a folder.",
            autocompletion=complete.sets,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="FAMILY",
            autocompletion=complete.families,
            help="Of which sort: linear, mlp, cnn, resnet, regression or rnn; left out: what suits the samples.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Name of the file, NAME.yaml."),
    ] = None,
    kind: options.Kind = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="A=VALUE", help="With --data, set a field of its kind, e.g. label=price or missing=drop."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file of that name.")] = False,
) -> None:
    """Copy a shipped config, or write one for your data.

    With --data, samples are looked at (shapes, classes, a thousand of them for their mean and spread), and a config
    with a comment on each choice is written that trains at once.

    Example: layerkit new --data digits --model cnn
    """
    from layerkit.arrayfile import write_text
    from layerkit.errors import UnknownNameError, UsageError

    if data is not None:
        _write_starter(name, data, model, output, kind, fields or [], force)
        return
    lost = {"--model": model, "--kind": kind, "--set": fields or None}
    for option in (option for option, value in lost.items() if value is not None):
        raise UsageError(f"{option} goes with --data")
    shipped = complete.config_files()
    if name is None:
        _list(shipped)
        return
    if name.removesuffix(".yaml") not in shipped:
        raise UnknownNameError("shipped config", name, shipped)
    name = name.removesuffix(".yaml")
    source = shipped[name]
    target = output or Path(source.name)
    _expect_free(target, force)
    first, _, rest = source.read_text(encoding="utf-8").partition("\n")
    if first.startswith(_SCHEMA):
        first = _schema_line().rstrip()
    write_text(target, f"{first}\n{rest.replace(f'configs/{name}.yaml', str(target))}")
    typer.echo(f"wrote {target}; look at it with: layerkit summary {target}", err=True)


def _write_starter(
    name: str | None,
    data: str,
    model: str | None,
    output: Path | None,
    kind: str | None,
    fields: list[str],
    force: bool,
) -> None:
    """Write a config for samples, named after them unless a name or file is given."""
    from layerkit import starters
    from layerkit.arrayfile import write_text
    from layerkit.errors import UsageError

    if name is not None and output is not None:
        raise UsageError(f"{name!r} and -o {output} are two names for one file; give one")
    facts = starters.look(data, kind, fields, model)
    family = model or starters.suggest(facts)
    target = output or Path(f"{(name or f'{_plain(data)}_{family}').removesuffix('.yaml')}.yaml")
    _expect_free(target, force)
    write_text(target, starters.write(facts, family, target.stem, _schema_line()))
    typer.echo(f"wrote {target}; train it with: layerkit train {target}", err=True)


def _plain(source: str) -> str:
    """A source's last part as a name of a file: letters, digits, - and _."""
    return re.sub(r"[^\w-]+", "_", Path(source).stem).strip("_") or "net"


def _expect_free(target: Path, force: bool) -> None:
    from layerkit.errors import UsageError

    if target.exists() and not force:
        raise UsageError(f"{target} exists; --force overwrites it")


def _schema_line() -> str:
    """The first line of a file anywhere on this machine."""
    return f"{_SCHEMA}{(complete.configs() / 'schema.json').resolve().as_uri()}\n"


def _list(shipped: dict[str, Path]) -> None:
    """Print each config with its title, the line after that for editors."""
    width = max(map(len, shipped))
    columns = table.columns()
    for name, path in shipped.items():
        with path.open(encoding="utf-8") as file:
            title = next(line for line in file if not line.startswith(_SCHEMA))
        typer.echo(
            textwrap.fill(
                title.lstrip("# ").strip(),
                columns,
                initial_indent=f"{name:{width}}  ",
                subsequent_indent=" " * (width + 2),
                break_on_hyphens=False,
            )
        )
