"""How the numbers in each weight of a net are spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.errors import UnknownNameError, UsageError
from layerkit.net import Net
from layerkit.report.drawing.lettering import shorten
from layerkit.report.drawing.palette import CURVES, LINE, QUIET
from layerkit.report.plotting.page import Part

_COLUMNS, _BINS = 4, 48
_ROW, _FOOT = 1.6, 0.25
"""Inches."""


@dataclass(frozen=True)
class Histograms(Part):
    """A part of a page: a histogram a weight."""

    weights: Mapping[str, Array]
    total: int
    """How many weights the net has; of more than are here, the page says so."""

    @property
    def height(self) -> float:
        return -(-len(self.weights) // _COLUMNS) * _ROW + _FOOT

    def fill(self, figure: Any) -> None:
        wide, high = 1 / _COLUMNS, _ROW / self.height
        for i, (name, values) in enumerate(self.weights.items()):
            row, column = divmod(i, _COLUMNS)
            # A place of its own takes the layout's search no time, of which many weights would need a minute.
            place = (column + 0.06) * wide, 1 - (row + 0.8) * high, 0.88 * wide, 0.58 * high
            _fill(figure.add_axes(place), name, values)
        if len(self.weights) < self.total:
            note = f"the first {len(self.weights)} of {self.total} weights; --weights draws all"
            figure.supxlabel(note, fontsize=8, color=QUIET)


def of(net: Net, layer: str | None = None, most: int | None = None) -> Histograms:
    """The weights and statistics of a net, or of one layer; at most so many. Raises UnknownNameError, UsageError."""
    found = net.flat.arrays()
    if layer is not None:
        if layer not in net.layers:
            raise UnknownNameError("layer", layer, net.layers)
        found = {name: values for name, values in found.items() if name.rpartition(".")[0] == layer}
    if not found:
        raise UsageError(f"layer {layer!r} has no weights of its own" if layer else "the net has no weights")
    return Histograms(dict(list(found.items())[:most]), len(found))


def _fill(axes: Any, name: str, values: Array) -> None:
    numbers = np.asarray(values, np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    axes.set_title(shorten(name, 26), fontsize=8.5)
    axes.grid(False)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(labelsize=7.5)
    axes.locator_params(axis="x", nbins=4)
    text = shape_text(np.shape(values))
    if finite.size:
        counts, edges = np.histogram(finite, _BINS)
        axes.stairs(counts, edges, fill=True, color=CURVES[0])
        if edges[0] <= 0 <= edges[-1]:
            axes.axvline(0, color=LINE, linewidth=0.8)
        axes.set_ylim(0, counts.max() * 1.9)  # the text stands above the bars
        text += f"\nmean {finite.mean():.3g}\nstd {finite.std():.3g}"
    if finite.size < numbers.size:
        text += f"\n{numbers.size - finite.size:,} not finite"
    axes.text(0.99, 0.97, text, transform=axes.transAxes, ha="right", va="top", fontsize=7, color=QUIET)
