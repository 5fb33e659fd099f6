"""`layerkit new`: copy a shipped config next to the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SCHEMA = "# yaml-language-server: $schema="
"""What tells an editor, on a file's first line, where the schema lies: beside the shipped configs."""


def new(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A shipped config; left out: list them.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file of that name.")] = False,
) -> None:
    """Copy a shipped config into the current folder.

    Example: layerkit new mlp && layerkit train mlp.yaml
    """
    from layerkit.arrayfile import write_text
    from layerkit.errors import UnknownNameError, UsageError

    folder = _configs()
    paths = sorted(folder.glob("*.yaml")) + sorted(folder.glob("*/*.yaml"))
    shipped = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
    if name is None:
        _list(shipped)
        return
    if name.removesuffix(".yaml") not in shipped:
        raise UnknownNameError("shipped config", name, shipped)
    name = name.removesuffix(".yaml")
    source = shipped[name]
    target = Path(source.name)
    if target.exists() and not force:
        raise UsageError(f"{target} exists; --force overwrites it")
    first, _, rest = source.read_text(encoding="utf-8").partition("\n")
    if first.startswith(_SCHEMA):
        first = _SCHEMA + (folder / "schema.json").resolve().as_uri()
    write_text(target, f"{first}\n{rest.replace(f'configs/{name}.yaml', str(target))}")
    typer.echo(f"wrote {target}; look at it with: layerkit summary {target}")


def _list(shipped: dict[str, Path]) -> None:
    """Print each config with its title, the line after that for editors."""
    width = max(map(len, shipped))
    for name, path in shipped.items():
        with path.open(encoding="utf-8") as file:
            title = next(line for line in file if not line.startswith(_SCHEMA))
        typer.echo(f"{name:{width}}  {title.lstrip('# ').strip()}")


def _configs() -> Path:
    """The shipped configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"
