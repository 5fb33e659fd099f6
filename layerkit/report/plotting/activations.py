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
    title = f"{blob}: {shape_text(values.shape)}"
    along = "time" if in_steps(net.graph) else "row"
    if values.size and values.ndim == 4:
        return place, _channels(title, values[0])
    if values.size and values.ndim == 3:
        return place, OverTime(title, values[:, 0] if values.shape[1] == 1 or along == "time" else values[0], along)
    if values.size and values.ndim == 2 and len(values) > 1:
        return place, OverTime(title, values, along)
    if values.size and values.ndim == 2:
        return place, Bars(title, values[0], _class_names(net, blob, values.shape[1]))
    if values.size and values.ndim == 1:
        return place, Bars(title, values, ())
    raise UsageError(f"the blob {blob!r} is {shape_text(values.shape)}, and no picture can be made of that")


def _channels(title: str, values: Array) -> Mosaic:
    """The channels (C, H, W) of a blob, all on one scale of colours."""
    low, high = float(values.min()), float(values.max())
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


def _class_names(net: Net, blob: str, count: int) -> Sequence[str]:
    """The names of classes for a blob that scores them, as far as the snapshot has any."""
    info = next((net.graph.samples[name] for name in net.inputs if name in net.graph.samples), None)
    names = info.class_names if info is not None else []
    return names if len(names) == count else [str(i) for i in range(count)]


@dataclass(frozen=True)
class Bars:
    """A part of a page: a bar a number, the greatest in another colour."""

    title: str
    values: Array
    names: Sequence[str]

    @property
    def height(self) -> float:
        return 3.2

    def fill(self, figure: Any) -> None:
        axes = figure.subplots()
        page.head(axes, self.title, f"greatest: {self.values.max():.4g}")
        best = int(self.values.argmax())
        colours = [CURVES[i == best] for i in range(len(self.values))]
        axes.bar(range(len(self.values)), self.values, color=colours, width=0.8 if len(self.values) <= _NAMED else 1.0)
        axes.margins(x=0.01)
        if 0 < len(self.names) <= _NAMED:
            long = max(map(len, self.names)) * len(self.names) > 100
            axes.set_xticks(range(len(self.names)), [shorten(name, 18) for name in self.names])
            axes.tick_params(axis="x", rotation=45 if long else 0, length=0)


@dataclass(frozen=True)
class OverTime:
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
        low, high = float(self.values.min()), float(self.values.max())
        most = max(-low, high) or 1.0
        scale = style.scale_of(*(tiles.SIGNED if low < 0 else tiles.AMOUNT))
        limits = {"vmin": -most if low < 0 else 0.0, "vmax": most}
        shown = axes.imshow(self.values.T, cmap=scale, aspect="auto", interpolation="nearest", **limits)
        axes.grid(False)
        axes.locator_params(integer=True)
        axes.set_xlabel(self.along)
        bar = figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.015)
        bar.outline.set_visible(False)
