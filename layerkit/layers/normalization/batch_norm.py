"""BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.registry import register


@register
class BatchNorm(Layer):
    """Batch normalization, without scale and bias (a Scale layer behind it adds them).

    For each channel

        y = (x - mean) / std,   std = sqrt(variance + eps)

    while training   mean and variance are those of the batch, over its m values of the channel
    otherwise        mean and variance are the stored sums, each divided by scale_factor (by nothing seen so far: 0)

    use_global_stats decides otherwise. Each pass that measures a batch adds it to the stored sums, older ones fading:
        mean          <- fraction * mean + mean of the batch
        variance      <- fraction * variance + m / (m - 1) * variance of the batch   (m = 1: as it is)
        scale_factor  <- fraction * scale_factor + 1

    Bottom 0: (N, C, ...); one axis alone is one channel. Top 0: the same shape.
    Weights, all statistics: mean (C,), variance (C,), scale_factor (1,); they start at 0 and have no gradient.
    The gradient is dx = (dy - mean(dy) - y mean(dy y)) / std with means over the batch, or dy / std where stored
    statistics are used. Without any values there is nothing to measure, and the statistics stay.
    Raises ShapeError for a bottom without axes.

    Example: {name: bn1, type: BatchNorm}

    Source: Ioffe and Szegedy 2015; Caffe's batch_norm_layer.cpp.
    """

    class Params(LayerParams):
        use_global_stats: bool | None = Field(
            None, description="Whether to use stored statistics; by default outside training."
        )
        moving_average_fraction: float = Field(
            0.999, ge=0, le=1, description="What stays of the stored statistics when a batch is added."
        )
        eps: float = Field(1e-5, ge=0, description="Added to the variance, so that nothing is divided by 0.")

    def plan(self, *bottoms: Shape) -> Plan:
        (shape,) = bottoms
        if not shape:
            raise ShapeError("BatchNorm needs a bottom with at least one axis", "bottom")
        channels = shape[1] if len(shape) > 1 else 1
        per_channel = (1, channels, *(1 for _ in shape[2:])) if len(shape) > 1 else (1,)
        batch = [Scratch("mean_product", per_channel), Scratch("product", shape, like_blob=True)]
        return Plan(
            tops=[shape],
            weights=[
                Weight("mean", (channels,), learned=False),
                Weight("variance", (channels,), learned=False),
                Weight("scale_factor", (1,), learned=False),
            ],
            scratch=[
                Scratch("mean", per_channel),
                Scratch("std", per_channel, keep=True),
                *([] if self.global_statistics else batch),
            ],
            reads_bottoms=(),
            reads_tops=() if self.global_statistics else (0,),
            in_place=True,
        )

    @property
    def global_statistics(self) -> bool:
        """Whether stored statistics are used, rather than those of the batch."""
        chosen = self.params.use_global_stats
        return bool(self.phase != "train" if chosen is None else chosen)

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, y = bottom[0].data, top[0].data
        mean, std = self.scratch.mean, self.scratch.std  # (1, C, 1...)
        if not x.size:
            return
        if self.global_statistics:
            self.read_statistics(mean.reshape(-1, copy=False), std.reshape(-1, copy=False))
            np.subtract(x, mean, out=y)
        else:
            _mean_per_channel(x, mean)
            np.subtract(x, mean, out=y)
            _mean_per_channel(np.square(y, out=self.scratch.product), std)
            self.add_to_statistics(mean.ravel(), std.ravel(), x.size // std.size)
        std += self.params.eps
        np.sqrt(std, out=std)
        np.divide(y, std, out=y)

    def read_statistics(self, mean: Array, variance: Array) -> None:
        """Write the stored mean and variance of each channel, both (C,)."""
        seen = float(self.weights.scale_factor.values[0])
        share = 1 / seen if seen else 0.0
        np.multiply(self.weights.mean.values, share, out=mean)
        np.multiply(self.weights.variance.values, share, out=variance)

    def add_to_statistics(self, mean: Array, variance: Array, m: int) -> None:
        """Add a batch's mean and variance, both (C,), over m values of each channel, to what is stored."""
        unbiased = m / (m - 1) if m > 1 else 1.0
        for weight, new in zip(self.weights, (mean, variance * unbiased, 1), strict=True):
            weight.values[...] = self.params.moving_average_fraction * weight.values + new
            weight.note_change()

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, dx, std = top[0].diff, bottom[0].diff, self.scratch.std
        if not propagate_down[0] or not dx.size:
            return
        if self.global_statistics:
            np.divide(dy, std, out=dx)
            return
        y, product = top[0].data, self.scratch.product
        mean, mean_product = self.scratch.mean, self.scratch.mean_product
        _mean_per_channel(dy, mean)
        _mean_per_channel(np.multiply(dy, y, out=product), mean_product)
        np.multiply(y, mean_product, out=product)
        np.subtract(dy, mean, out=dx)
        np.subtract(dx, product, out=dx)
        np.divide(dx, std, out=dx)


def _mean_per_channel(values: Array, out: Array) -> None:
    """Means over all axes but the channels', (1, C, 1...); summed in float64, as there may be millions of values."""
    over = tuple(axis for axis in range(out.ndim) if axis != 1)
    out[...] = np.mean(values, over, dtype=np.float64, keepdims=True)
