"""`layerkit data convert`: samples from one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from layerkit.cli import options
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.errors import DataError


def convert(
    source: options.Samples,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET",
            help="What to write: NAME.npz, NAME.h5, NAME.lmdb, or NAME, a folder of images.",
            show_default=False,
        ),
    ],
    part: options.Part = None,
    kind: options.Kind = None,
    fields: options.Fields = None,
    resize: options.Resize = None,
    gray: Annotated[bool, typer.Option("--gray", help="Make red, green and blue one channel.")] = False,
    encoded: Annotated[
        Literal["png", "jpg"] | None, typer.Option("--encoded", help="Store images as files of this kind.")
    ] = None,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Write the samples in a random order.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Another seed shuffles otherwise.")] = 0,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Write N samples at most.")] = None,
    skip: options.Skip = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the target if it exists.")] = False,
) -> None:
    """Write a dataset in another format.

    TARGET's name says the format, and it appears whole or not at all. Of a set with several parts the train part is
    written unless --part names another. --resize does not smooth, as Caffe's convert_imageset does not.

    Example: layerkit data convert digits digits.h5 --part test
    """
    from layerkit.cli.bar import Bar
    from layerkit.cli.interrupts import ending
    from layerkit.cli.left_out import LeftOut
    from layerkit.datasets.writing.convert import Changes, order
    from layerkit.datasets.writing.convert import convert as write
    from layerkit.errors import UsageError
    from layerkit.report import samples

    if Path(source).exists() and Path(source).resolve() == target.resolve():
        raise UsageError(f"{str(target)!r} is what is to be read; give what is written another name")
    changes = Changes(options.size_of(resize), gray)
    found = samples.find(source, kind, fields or [])
    chosen = found.choose(part)
    opened = found.open(chosen)
    indices = order(opened, shuffle, seed)[:limit]
    with ending() as check, Bar(len(indices)) as bar:

        def advance(count: int) -> None:
            check()
            bar.advance(chosen, count)

        left = LeftOut(bar.line)

        def left_out(index: int, error: DataError) -> None:
            left(error)
            advance(1)

        count = write(
            opened,
            target,
            indices,
            changes,
            encoding="jpeg" if encoded == "jpg" else encoded,
            force=force,
            advance=advance,
            skip=left_out if skip else None,
        )
    opened.close()
    typer.echo(f"wrote {target}: {counted(count, 'sample')} of {found.words(chosen)}{left.words}", err=True)
