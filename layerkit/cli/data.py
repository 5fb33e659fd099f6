"""`layerkit data`: its verbs put together; the mean of samples, and public sets fetched."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from layerkit.cli import complete, options
from layerkit.cli.data_convert import convert
from layerkit.cli.data_info import info
from layerkit.words import counted


def mean(
    source: options.Samples,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="NAME.binaryproto or NAME.npy."),
    ],
    part: options.Part = None,
    kind: options.Kind = None,
    fields: options.Fields = None,
    resize: options.Resize = None,
    skip: options.Skip = False,
    channel_order: Annotated[
        Literal["RGB", "BGR"] | None,
        typer.Option(
            "--channel-order",
            help="Order of colours in the file, and in the net; by default what the layer or the database gives.",
        ),
    ] = None,
) -> None:
    """Write the mean of all images, for mean_file.

    Prints the mean of each channel too, for mean_value. Of a set with several parts the train part is read unless
    --part names another.

    Example: layerkit data mean digits -o mean.binaryproto
    """
    from layerkit.cli.bar import Bar
    from layerkit.cli.left_out import LeftOut
    from layerkit.datasets.writing import mean as means
    from layerkit.datasets.writing.convert import Changes
    from layerkit.report import samples

    means.expect_suffix(output)
    changes = Changes(options.size_of(resize))
    found = samples.find(source, kind, fields or [])
    chosen = found.choose(part)
    opened = found.open(chosen)
    with Bar(len(opened)) as bar:
        left, advance = LeftOut(bar.line), partial(bar.advance, chosen)
        image = means.mean_image(opened, found.data(chosen, opened), changes, advance, left if skip else None)
    opened.close()
    order = channel_order or found.channel_order(chosen) or opened.header.channel_order
    made = means.as_image(image, order)
    means.save(output, made)
    for channel, value in enumerate(made.mean(axis=(1, 2), dtype=float)):
        typer.echo(f"mean_value channel [{channel}]: {value:.6g}")
    about = f", channels in the order {order}" if len(made) == 3 else ""
    what = f"the mean of {counted(len(opened) - left.count, 'sample')} of {found.words(chosen)}{about}{left.words}"
    typer.echo(f"wrote {output}: {what}", err=True)


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A public set: mnist, fashion_mnist, cifar10 or cifar100.",
            show_default=False,
            autocompletion=complete.public_sets,
        ),
    ],
    origin: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="A folder or archive that has the files, instead of downloading."),
    ] = None,
) -> None:
    """Fetch a public set, so that YAML finds it by its name.

    What is downloaded is verified, and gone on with where it was cut off. It is kept in LAYERKIT_DATA, or in the
    user's folder of caches. Prints the folder.

    Example: layerkit data fetch mnist
    """
    from layerkit.cli.downloads import Downloads
    from layerkit.datasets.public.fetch import fetch as have

    with Downloads() as downloads:
        folder = have(name, origin, downloads)
    typer.echo(str(folder))


VERBS: tuple[Callable[..., None], ...] = (info, convert, mean, fetch)
"""In the order of the help."""
EPILOG = "Example: layerkit data info digits"
HELP = "Look at samples, convert and fetch them."
