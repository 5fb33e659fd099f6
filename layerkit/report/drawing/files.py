"""From a file that holds a net to the bytes of a picture of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from layerkit import graph, prediction, snapshot
from layerkit.errors import ConfigError, LayerkitError, SnapshotError, UsageError
from layerkit.graph import Graph
from layerkit.report.drawing import dot, html, png, svg
from layerkit.report.drawing import picture as pictures
from layerkit.report.drawing.layout import Direction, Layout, arrange
from layerkit.report.drawing.picture import Picture

_WRITERS: dict[str, Callable[[Picture, Layout], str | bytes]] = {
    ".svg": svg.write,
    ".png": png.write,
    ".html": html.write,
    ".dot": lambda picture, layout: dot.write(picture, layout.direction),
}


def load(file: Path, phase: str | None, overrides: Sequence[str], *, allow_python: bool = False) -> Graph:
    """The net of a YAML file in a phase (left out: train), or the predict net that a snapshot holds.

    Raises ConfigError, SnapshotError, and UsageError for what a snapshot has not.
    """
    if file.suffix != ".safetensors":
        chosen = phase or "train"
        return graph.load(file, [chosen], overrides, allow_python=allow_python)[1][chosen]
    if phase not in (None, "predict"):
        raise UsageError(f"{file}: a snapshot holds the net of phase predict only, not of {phase}")
    if overrides:
        raise UsageError(f"{file}: --set changes a YAML file's values, and a snapshot is none")
    info = snapshot.read_weights_info(file)
    if info.predict is None:
        raise SnapshotError(f"{file}: the snapshot holds no predict net: {info.predict_missing}")
    try:
        return prediction.build(info.predict, {}, allow_python=allow_python)
    except (LayerkitError, RecursionError) as error:
        what = error.problems[0] if isinstance(error, ConfigError) else error
        raise SnapshotError(f"{file}: the predict net inside cannot be used: {what}") from None


def expect_kind(suffix: str) -> None:
    """Raise UsageError for the suffix of no kind of picture."""
    if suffix not in _WRITERS:
        instead = f", not in {suffix!r}" if suffix else ""
        raise UsageError(f"a picture's file ends in .svg, .png, .html or .dot{instead}")


def draw(net: Graph, suffix: str, direction: Direction, *, expand: bool = False) -> bytes:
    """The picture as a file of that suffix holds it. Raises UsageError and, without resvg, DataError for .png."""
    expect_kind(suffix)
    picture = pictures.of(net, expand=expand)
    drawn = _WRITERS[suffix](picture, arrange(picture, direction))
    return drawn if isinstance(drawn, bytes) else drawn.encode()
