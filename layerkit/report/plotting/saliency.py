"""Which pixels a net's answer hangs on: the gradient of a class's score with respect to the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.errors import UnknownNameError, UsageError
from layerkit.graph import Graph, Ref
from layerkit.net import Net
from layerkit.report.plotting import page, tiles
from layerkit.report.plotting.feeding import Feed
from layerkit.report.plotting.page import Part
from layerkit.report.predictions import Predictor

_SQUASHES = ("Softmax", "Sigmoid")
"""Layers that make probabilities of scores; the gradient is that of the score before them."""


class Saliency(NamedTuple):
    """What was found for one image."""

    place: str
    image: Array
    """(C, H, W), as the net takes it."""
    channel_order: str
    gradient: Array
    """(H, W): the largest magnitude over the channels of the score's gradient."""
    label: str
    """The class whose score it is."""
    score: float


def of(net: Net, feed: Feed, wanted: str | None = None) -> Saliency:
    """The saliency of the first sample for a class, given by its name or number; by default the likeliest one.

    Raises UsageError for a net that does not score classes of images, UnknownNameError for a class that is not there,
    and what reading the input raises.

    Source: Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, 2013.
    """
    predictor = Predictor(net)
    if len(net.graph.shapes[Ref(predictor.input)]) != 4:
        shape = shape_text(net.graph.shapes[Ref(predictor.input)][1:])
        raise UsageError(f"only of images a saliency can be drawn, and the net takes samples of {shape}")
    blob = _scores(net.graph)
    sample = feed.first(predictor)
    image = predictor.prepared([sample])[1]
    net.forward(None, None, **{predictor.input: image})
    scores = np.array(net.blobs[blob].data, np.float64).reshape(-1)
    info = net.graph.samples.get(predictor.input)
    names = info.class_names if info is not None and len(info.class_names) == len(scores) else []
    chosen = int(scores.argmax()) if wanted is None else _class(wanted, names, len(scores))
    seed = np.zeros(net.blobs[blob].shape)
    seed.reshape(-1, copy=False)[chosen] = 1.0
    found = net.vjp({blob: seed}).get(predictor.input)
    if found is None:
        raise UsageError(f"no gradient of {blob!r} reaches the input {predictor.input!r}")
    gradient = np.abs(found[0]).max(axis=0)
    label = names[chosen] if names else str(chosen)
    order = info.channel_order if info is not None else "RGB"
    return Saliency(sample.place, np.asarray(image[0]), order, gradient, label, float(scores[chosen]))


def _scores(graph: Graph) -> str:
    """The blob that scores classes: the one below the first output that has a number a class."""
    for name in graph.outputs:
        ref = graph.last[name]
        count, *shape = graph.shapes[ref]
        if count and shape and max(shape[1:], default=1) == 1:
            maker = next(node for node in graph.nodes if ref in node.tops)
            below = maker.bottoms[0] if maker.spec.type in _SQUASHES else ref
            return below.name if graph.last[below.name] == below else name
    raise UsageError("the net has no output that scores classes, whose gradient could be drawn")


def _class(wanted: str, names: list[str], count: int) -> int:
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < count:
        return int(wanted)
    raise UnknownNameError("class", wanted, names or [str(i) for i in range(count)])


@dataclass(frozen=True)
class SaliencyPart(Part):
    """A part of a page: the image, and beside it the gradient."""

    found: Saliency

    @property
    def height(self) -> float:
        rows, columns = self.found.gradient.shape
        return page.height_of(rows, 2 * columns)

    def fill(self, figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        largest = float(self.found.gradient.max())
        gradient = tiles.coloured(self.found.gradient / (largest or 1.0), tiles.AMOUNT)
        page.head(left, "image")
        page.head(
            right, f"class {self.found.label}, score {self.found.score:.4g}", f"up to {largest:.3g} a unit of input"
        )
        for axes, pixels in ((left, tiles.photo(self.found.image, self.found.channel_order)), (right, gradient)):
            page.bare(axes, frame=True)
            axes.imshow(pixels, interpolation="nearest")
