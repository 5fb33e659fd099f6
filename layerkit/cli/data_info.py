"""`layerkit data info`: what a dataset holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from layerkit.cli import complete, options, table
from layerkit.words import counted

if TYPE_CHECKING:
    from layerkit.datasets import Source
    from layerkit.report.dataset import ArrayFacts, PartFacts


def info(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="A known set, a file or folder of samples, or a YAML file with a layer that reads some; left out: "
            "list the known sets and kinds.",
            show_default=False,
            autocompletion=complete.sets,
        ),
    ] = None,
    part: options.Part = None,
    kind: options.Kind = None,
    fields: options.Fields = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE", help="Write a contact sheet of the part, as PNG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Say what a dataset holds.

    Every sample is read once: how many there are, their shapes, range, mean and spread, how many each class has, and
    what cannot be read. All parts are looked at unless --part names one; the contact sheet is of the first.

    Example: layerkit data info configs/mlp.yaml --sheet digits.png
    """
    from layerkit.cli.bar import Bar
    from layerkit.report import dataset, samples

    if source is None:
        table.show(("dataset", "what it is"), samples.kinds())
        return
    found = samples.find(source, kind, fields or [])
    parts = list(found.own_parts) if part is None else [found.choose(part)]
    facts = []
    for name in parts:
        opened = found.open(name)
        if sheet is not None and name == parts[0]:
            _write_sheet(sheet, opened)
        with Bar(len(opened)) as bar:
            facts.append(dataset.describe(name, opened, partial(bar.advance, name)))
        opened.close()
    if as_json:
        typer.echo(json.dumps({"source": source, "kind": found.kind, "parts": [asdict(each) for each in facts]}))
        return
    typer.echo(f"{found.kind}: {found.about}")
    for each in facts:
        typer.echo("")
        _print(each)


def _write_sheet(path: Path, source: Source) -> None:
    import io

    from layerkit.arrayfile import write_bytes
    from layerkit.report.contact_sheet import contact_sheet

    content = io.BytesIO()
    contact_sheet(source).save(content, "PNG")
    write_bytes(path, content.getvalue())
    typer.echo(f"wrote {path}", err=True)


def _print(facts: PartFacts) -> None:
    from layerkit.datasets.transforms.base import channels_hint
    from layerkit.report import histogram

    typer.echo(f"{facts.part}: {counted(facts.samples, 'sample')}")
    if facts.unreadable:
        typer.echo(f"{facts.unreadable:,} cannot be read; the first: {facts.first_unreadable}")
    titles = ("array", "shape", "type", "min", "max", "mean", "std")
    table.show(titles, map(_cells, facts.arrays), right=titles[3:])
    for each in facts.arrays:
        if hint := channels_hint(each.shape):
            typer.echo(f"{each.name}: {hint.removeprefix('; ')}")
        if each.channel_means:
            means, stds = (" ".join(f"{x:.2f}" for x in of) for of in (each.channel_means, each.channel_stds))
            typer.echo(f"channels of {each.name}: means {means}, stds {stds}")
    if facts.classes:
        table.show(("class", "samples", "share", ""), histogram.rows(facts.classes), right=("samples", "share"))


def _cells(facts: ArrayFacts) -> list[str]:
    from layerkit.blob import shape_text

    shape = shape_text(facts.shape)
    if facts.largest != facts.shape:
        shape = f"{shape} to {shape_text(facts.largest)}"
    return [facts.name, shape, facts.dtype, *(f"{x:.5g}" for x in (facts.min, facts.max, facts.mean, facts.std))]
