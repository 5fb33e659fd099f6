"""ROIPooling: a grid of maxima from each region of interest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.layers.vision.regions import Span, check_regions, check_shapes, rounded
from layerkit.registry import register


@register
class ROIPooling(Layer):
    """Max pooling of regions of any size into grids of one size.

    A region (n, x1, y1, x2, y2) is brought to the scale of the features and rounded (halves away from 0), its last row
    and column included; it is at least one element large. Its height h is divided into pooled_h bins, which may
    overlap by an element, and its width likewise:

        bin i covers the rows y1 + floor(i h / pooled_h) to y1 + ceil((i + 1) h / pooled_h), that last one excluded

    The gradient goes to the first of the largest in scan order. A bin that lies outside of the features is 0.

    Bottoms: features (N, C, H, W); regions (R, 5), or with axes of length 1 behind: the number of an image, and two
    corners in the image's pixels.
    Tops: (R, C, pooled_h, pooled_w).
    Raises ShapeError where the bottoms are not of these shapes, DataError for a region of no image.

    Example: {name: pool5, type: ROIPooling, bottom: [conv5, rois], pooled_h: 7, pooled_w: 7, spatial_scale: 0.0625}

    Source: Girshick 2015 (Fast R-CNN); roi_pooling_layer.cpp of its fork of Caffe.
    """

    class Params(LayerParams):
        pooled_h: int = Field(gt=0, description="Rows of bins.")
        pooled_w: int = Field(gt=0, description="Columns of bins.")
        spatial_scale: float = Field(
            1.0, gt=0, description="Size of the features over that of the image, such as 1/16."
        )

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        features, regions = bottoms
        check_shapes("ROIPooling", features, regions)
        top = (regions[0], features[1], self.params.pooled_h, self.params.pooled_w)
        return Plan(
            tops=[top],
            scratch=[Scratch("place", top, "int32", keep=True)],
            gradients=(True, False),
            reads_bottoms={1},
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y, place = bottom[0].data, top[0].data, self.scratch.place
        channels, width = np.arange(x.shape[1]), x.shape[3]
        check_regions(bottom[1].data, len(x))
        for r, (n, rows, columns) in enumerate(self._bins(bottom[1].data, x.shape[2:])):
            for (i, (up, down)), (j, (left, right)) in product(enumerate(rows), enumerate(columns)):
                inside = x[n, :, up:down, left:right]  # (C, h, w)
                if not inside.size:
                    y[r, :, i, j], place[r, :, i, j] = 0, -1
                    continue
                h, w = np.divmod(inside.reshape(len(channels), -1).argmax(axis=1), right - left)  # (C,)
                y[r, :, i, j] = inside[channels, h, w]
                place[r, :, i, j] = (up + h) * width + left + w

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        dx, dy = bottom[0].diff, top[0].diff
        dx[...] = 0
        images = bottom[1].data.reshape(-1, 5)[:, 0].astype(int)
        for n, places, diff in zip(images, self.scratch.place, dy, strict=True):
            channel, i, j = np.nonzero(places >= 0)
            h, w = np.divmod(places[channel, i, j], dx.shape[3])
            np.add.at(dx[n], (channel, h, w), diff[channel, i, j])  # bins may have a maximum in common

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        t, out = bottom_tangent[0], top_tangent[0]
        out[...] = 0
        images = bottom[1].data.reshape(-1, 5)[:, 0].astype(int)
        for n, places, tangent in zip(images, self.scratch.place, out, strict=True):
            channel, i, j = np.nonzero(places >= 0)
            if t is not None:
                tangent[channel, i, j] = t[n].reshape(t.shape[1], -1)[channel, places[channel, i, j]]

    def _bins(self, regions: Array, size: Shape) -> Iterator[tuple[int, list[Span], list[Span]]]:
        """Each region's image, and the rows and the columns of its bins, within features of this size."""
        p, kind = self.params, regions.dtype.type
        for n, *corners in regions.reshape(-1, 5):
            x1, y1, x2, y2 = (rounded(float(each * kind(p.spatial_scale))) for each in corners)
            yield int(n), _spans(y1, y2, p.pooled_h, size[0], kind), _spans(x1, x2, p.pooled_w, size[1], kind)


def _spans(first: int, last: int, bins: int, size: int, kind: type[np.floating]) -> list[Span]:
    """The bins of a region from `first` to `last` (included), in the blob's precision, cut to 0..size."""
    length = kind(max(last - first + 1, 1)) / kind(bins)
    edges = [kind(i) * length for i in range(bins + 1)]
    return [
        (min(max(first + math.floor(begin), 0), size), min(max(first + math.ceil(end), 0), size))
        for begin, end in pairwise(edges)
    ]
