"""What a net makes of a sample: one of its blobs as images, as bars, or as an image over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.errors import UsageError
from layerkit.net import Net
from layerkit.report.drawing.lettering import shorten
from layerkit.report.drawing.palette import CURVES
from layerkit.report.plotting import page, style, tiles
from layerkit.report.plotting.feeding import Feed, forward, in_steps
from layerkit.report.plotting.page import Part
from layerkit.report.plotting.tiles import Mosaic
from layerkit.report.predictions import expect_blobs

_NAMED = 40
"""Of more bars than these, none has a name."""


def of(net: Net, blob: str, feed: Feed) -> tuple[str, Part]:
    """What the input is called, and the blob that it leads to, as a part of a page.

    A blob (1, C, H, W) is shown as its channels side by side, (1, N) as bars, and (T, N) or (T, 1, N) as an image with
    T from left to right; of several samples, or rows of sequences, the first. Raises UnknownNameError for a blob that
    is not there, UsageError for one of another shape, and what `forward` raises.
    """
    expect_blobs(net.graph, [blob])
    place = forward(net, feed)
    values = np.array(net.blobs[blob].data, np.float64)
    if not values.size or not 1 <= values.ndim <= 4:
        raise UsageError(f"the blob {blob!r} is {shape_text(values.shape)}, and no picture can be made of that")
    return place, _part(net, blob, values)


def _part(net: Net, blob: str, values: Array) -> Part:
    title = f"{blob}: {shape_text(values.shape)}"
    along = "time" if in_steps(net.graph) else "row"
    if values.ndim == 4 and values.shape[2:] != (1, 1):
        return _channels(title, values[0])
    if values.ndim == 3:
        return OverTime(title, values[:, 0] if values.shape[1] == 1 or along == "time" else values[0], along)
    rows = values.reshape(1, -1) if values.ndim == 1 else values.reshape(len(values), -1)
    if len(rows) > 1:
        return OverTime(title, rows, along)
    return Bars(title, rows[0], _class_names(net, rows.shape[1]))


def _channels(title: str, values: Array) -> Mosaic:
    """The channels (C, H, W) of a blob, all on one scale of colours."""
    low, high = tiles.extent(values)
    shown = values[: tiles.MOST]
    if low < 0:
        most = max(-low, high)
        images = [tiles.signed(each, most) for each in shown]
        note = f"from {low:.3g} (blue) over 0 (white) to {high:.3g} (orange)"
    else:
        images = [tiles.coloured(each / (high or 1.0), tiles.AMOUNT) for each in shown]
        note = f"from 0 (white) to {high:.3g} (dark)"
    if len(shown) < len(values):
        note = f"the first {len(shown)} channels; {note}"
    return Mosaic(title, note, tiles.mosaic(images, tiles.columns_for(len(images), *values.shape[1:])))


def _class_names(net: Net, count: int) -> Sequence[str]:
    """What stands below so many bars: the names of the classes if there are as many, else numbers."""
    info = next((net.graph.samples[name] for name in net.inputs if name in net.graph.samples), None)
    names = info.class_names if info is not None else []
    return names if len(names) == count else [str(i) for i in range(count)]


@dataclass(frozen=True)
class Bars(Part):
    """A part of a page: a bar a number, the greatest in another colour."""

    title: str
    values: Array
    names: Sequence[str]

    @property
    def height(self) -> float:
        return 3.2

    def fill(self, figure: Any) -> None:
        axes = figure.subplots()
        page.head(axes, self.title, f"greatest: {tiles.extent(self.values)[1]:.4g}")
        best = int(np.where(np.isfinite(self.values), self.values, -np.inf).argmax())
        colours = [CURVES[i == best] for i in range(len(self.values))]
        axes.bar(range(len(self.values)), self.values, color=colours, width=0.8 if len(self.values) <= _NAMED else 1.0)
        axes.margins(x=0.01)
        if 0 < len(self.names) <= _NAMED:
            long = max(map(len, self.names)) * len(self.names) > 100
            axes.set_xticks(range(len(self.names)), [shorten(name, 18) for name in self.names])
            axes.tick_params(axis="x", rotation=45 if long else 0, length=0)


@dataclass(frozen=True)
class OverTime(Part):
    """A part of a page: rows (T, N) as an image, T from left to right, N from top to bottom."""

    title: str
    values: Array
    along: str

    @property
    def height(self) -> float:
        steps, wide = map(int, self.values.shape)
        return min(7.0, max(2.4, 1.2 + 8.0 * wide / max(steps, wide)))

    def fill(self, figure: Any) -> None:
        axes = figure.subplots()
        page.head(axes, self.title)
        low, high = tiles.extent(self.values)
        most = max(-low, high) or 1.0
        scale = style.scale_of(*(tiles.SIGNED if low < 0 else tiles.AMOUNT))
        limits = {"vmin": -most if low < 0 else 0.0, "vmax": most}
        shown = axes.imshow(self.values.T, cmap=scale, aspect="auto", interpolation="nearest", **limits)
        axes.grid(False)
        axes.locator_params(integer=True)
        axes.set_xlabel(self.along)
        bar = figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.015)
        bar.outline.set_visible(False)
