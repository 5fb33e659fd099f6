"""PSROIPooling: a grid of means from each region of interest, each from channels of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Tops
from layerkit.layers.vision.regions import Span, check_regions, check_shapes, rounded
from layerkit.registry import register
from layerkit.tangents import affine

LEAST = 0.1
"""The least height and width of a region, in elements of the features."""


@register
class PSROIPooling(Layer):
    """Mean pooling of regions into grids, with channels of their own for each place of the grid.

    So one map answers whether there is the upper left part of an object, another whether there is its middle. With
    G = group_size, a region of height h (at least 0.1) from row y1 on, both at the scale of the features:

        y[r, d, i, j] = the mean of channel (d G + i) G + j over the rows
            floor(y1 + i h / G) to ceil(y1 + (i + 1) h / G), that last one excluded, and the columns likewise

    The corners are rounded before they are brought to that scale (halves away from 0), and the last row and column are
    part of the region. A bin that lies outside of the features is 0. Each element of a bin gets its share of dy.

    Bottoms: features (N, output_dim G G, H, W); regions (R, 5), or with axes of length 1 behind: the number of an
    image, and two corners in the image's pixels.
    Tops: (R, output_dim, G, G).
    Raises ShapeError where the bottoms are not of these shapes, DataError for a region of no image.

    Example: {name: psroi, type: PSROIPooling, bottom: [rfcn_cls, rois], output_dim: 21, group_size: 7,
      spatial_scale: 0.0625}

    Source: Dai et al. 2016 (R-FCN); psroi_pooling_layer.cu of its fork of Caffe.
    """

    class Params(LayerParams):
        """How many numbers each bin has, and how regions are measured."""

        output_dim: int = Field(gt=0, description="Channels of the top, such as classes.")
        group_size: int = Field(gt=0, description="Rows and columns of bins.")
        spatial_scale: float = Field(gt=0, description="Size of the features over that of the image, such as 1/16.")

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        features, regions = bottoms
        check_shapes("PSROIPooling", features, regions)
        depth, side = self.params.output_dim, self.params.group_size
        if features[1] != depth * side**2:
            raise ShapeError(
                f"output_dim {depth} in {side} x {side} bins needs {depth * side**2} channels, not {features[1]}",
                "output_dim",
            )
        return Plan(tops=[(regions[0], depth, side, side)], gradients=(True, False), reads_bottoms={1}, reads_tops=())

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        check_regions(bottom[1].data, bottom[0].shape[0])
        maps, y = self._by_bin(bottom[0].data), top[0].data
        for r, i, j, place in self._bins(bottom[1].data, maps.shape[4:]):
            inside = maps[place]  # (D, h, w)
            y[r, :, i, j] = inside.mean(axis=(1, 2)) if inside.size else 0

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        bottom[0].diff[...] = 0
        maps, dy = self._by_bin(bottom[0].diff), top[0].diff
        for r, i, j, place in self._bins(bottom[1].data, maps.shape[4:]):
            inside = maps[place]  # (D, h, w)
            inside += dy[r, :, i, j, np.newaxis, np.newaxis] / max(1, math.prod(inside.shape[1:]))

    jvp = affine

    def _by_bin(self, maps: Array) -> Array:
        """Features as a view (N, D, G, G, H, W)."""
        depth, side = self.params.output_dim, self.params.group_size
        return maps.reshape(len(maps), depth, side, side, *maps.shape[2:], copy=False)

    def _bins(self, regions: Array, size: Shape) -> Iterator[tuple[int, int, int, tuple[int | slice, ...]]]:
        """For each bin: its region, row and column, and where it lies in `_by_bin`."""
        p, kind = self.params, regions.dtype.type
        for r, (n, *corners) in enumerate(regions.reshape(-1, 5)):
            x1, y1, x2, y2 = (kind(rounded(float(each))) for each in corners)
            rows, columns = (
                _spans(first * kind(p.spatial_scale), (last + 1) * kind(p.spatial_scale), p.group_size, length)
                for first, last, length in ((y1, y2, size[0]), (x1, x2, size[1]))
            )
            for (i, high), (j, wide) in product(enumerate(rows), enumerate(columns)):
                yield r, i, j, (int(n), slice(None), i, j, slice(*high), slice(*wide))


def _spans(first: np.floating, end: np.floating, bins: int, size: int) -> list[Span]:
    """The bins of a region from `first` to `end` (excluded), in the blob's precision, cut to 0..size."""
    kind = type(first)
    length = max(end - first, kind(LEAST)) / kind(bins)
    edges = [kind(i) * length + first for i in range(bins + 1)]
    return [(min(max(math.floor(edges[i]), 0), size), min(max(math.ceil(edges[i + 1]), 0), size)) for i in range(bins)]
