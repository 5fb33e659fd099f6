"""BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.layers.normalization.moments import average, scaled_tangent, standardize_backward
from layerkit.registry import register


@register
class BatchNorm(Layer):
    """Batch normalization: mean 0 and variance 1 for each channel, over the batch.

        n = (x - mean) / std,  std = sqrt(variance + eps)        y = n, or with scale_bias y = n * scale + bias

    while training   mean and variance are those of the batch, over its m values of the channel
    otherwise        mean and variance are the stored sums, each divided by scale_factor (by nothing seen so far: 0)

    use_global_stats decides otherwise. Each pass that measures a batch adds it to the stored sums, older ones fading:
        mean          <- fraction * mean + mean of the batch
        variance      <- fraction * variance + m / (m - 1) * variance of the batch   (m = 1: as it is)
        scale_factor  <- fraction * scale_factor + 1

    With g = dy, or dy * scale, the gradients are dx = (g - mean(g) - n mean(g n)) / std with means over the batch, or
    g / std where stored statistics are used; dscale = the sum of dy n, and dbias = the sum of dy, over the batch.
    Without any values there is nothing to measure, and the statistics stay.

    Bottoms: x, (N, C, ...); one axis alone is one channel.
    Tops: y, of the same shape.
    Weights: the statistics mean (C,), variance (C,) and scale_factor (1,), which start at 0 and have no gradient; with
    scale_bias also scale (C,) and bias (C,). As Caffe's BatchNorm has no scale and bias, its nets have a Scale behind
    it.
    Raises ShapeError for a bottom without axes.

    Example: {name: bn1, type: BatchNorm, scale_bias: true}

    Source: Ioffe and Szegedy 2015; Caffe's batch_norm_layer.cpp; scale_bias as in NVIDIA's Caffe.
    """

    class Params(LayerParams):
        use_global_stats: bool | None = Field(
            None, description="Whether to use stored statistics; by default outside training."
        )
        moving_average_fraction: float = Field(
            0.999, ge=0, le=1, description="What stays of the stored statistics when a batch is added."
        )
        eps: float = Field(1e-5, ge=0, description="Added to the variance, so that nothing is divided by 0.")
        scale_bias: bool = Field(False, description="Whether a learned scale and bias follow.")
        scale_filler: Filler = Field(Filler(value=1.0), description="How the scale starts.")
        bias_filler: Filler = Field(Filler(), description="How the bias starts.")

    def plan(self, *bottoms: Shape) -> Plan:
        (shape,) = bottoms
        if not shape:
            raise ShapeError("BatchNorm needs a bottom with at least one axis", "bottom")
        channels = shape[1] if len(shape) > 1 else 1
        per_channel = (1, channels, *(1 for _ in shape[2:])) if len(shape) > 1 else (1,)
        p, affine = self.params, self.params.scale_bias
        learned = [Weight("scale", (channels,), p.scale_filler), Weight("bias", (channels,), p.bias_filler)]
        return Plan(
            tops=[shape],
            weights=[
                Weight("mean", (channels,), learned=False),
                Weight("variance", (channels,), learned=False),
                Weight("scale_factor", (1,), learned=False),
                *(learned if affine else []),
            ],
            scratch=[
                Scratch("mean", per_channel),
                Scratch("std", per_channel, keep=True),
                *([Scratch("product", shape, like_blob=True)] if affine or not self.global_statistics else []),
                *([Scratch("n", shape, keep=True, like_blob=True)] if affine else []),
            ],
            reads_bottoms=(),
            reads_tops=() if self.global_statistics or affine else (0,),
            in_place=True,
            by_rows=self.global_statistics,
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
        n = self.scratch.n if self.params.scale_bias else y
        if self.global_statistics:
            self.read_statistics(mean.reshape(-1, copy=False), std.reshape(-1, copy=False))
            np.subtract(x, mean, out=n)
        else:
            average(x, _others(x), mean)
            np.subtract(x, mean, out=n)
            average(np.square(n, out=self.scratch.product), _others(x), std)
            self.add_to_statistics(mean.ravel(), std.ravel(), x.size // std.size)
        std += self.params.eps
        np.sqrt(std, out=std)
        np.divide(n, std, out=n)
        if self.params.scale_bias:
            np.multiply(n, self.weights.scale.values.reshape(std.shape), out=y)
            np.add(y, self.weights.bias.values.reshape(std.shape), out=y)

    def read_statistics(self, mean: Array, variance: Array) -> None:
        """Write the stored mean and variance of each channel, both (C,)."""
        seen = float(self.weights.scale_factor.values[0])
        share = 1 / seen if seen else 0.0
        np.multiply(self.weights.mean.values, share, out=mean)
        np.multiply(self.weights.variance.values, share, out=variance)

    def add_to_statistics(self, mean: Array, variance: Array, m: int) -> None:
        """Add a batch's mean and variance, both (C,), over m values of each channel, to what is stored."""
        unbiased = m / (m - 1) if m > 1 else 1.0
        batch = {"mean": mean, "variance": variance * unbiased, "scale_factor": 1}
        for name, new in batch.items():
            weight = self.weights[name]
            weight.values[...] = self.params.moving_average_fraction * weight.values + new
            weight.note_change()

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        dy, dx, std = top[0].diff, bottom[0].diff, self.scratch.std
        n = self.scratch.n if self.params.scale_bias else top[0].data
        if "scale" in self.asked:
            product = np.multiply(dy, n, out=self.scratch.product)
            self.weights.scale.diff[...] = np.sum(product, _others(dy), dtype=np.float64)
        if "bias" in self.asked:
            self.weights.bias.diff[...] = np.sum(dy, _others(dy), dtype=np.float64)
        if not propagate_down[0] or not dx.size:
            return  # what follows writes dx, which may lie where dy does
        g = np.multiply(dy, self.weights.scale.values.reshape(std.shape), out=dx) if self.params.scale_bias else dy
        if self.global_statistics:
            np.divide(g, std, out=dx)
            return
        standardize_backward(g, n, _others(dy), std, dx, self.scratch.mean, self.scratch.product)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        s, t, out = self.scratch, bottom_tangent[0], top_tangent[0]
        n = s.n if self.params.scale_bias else top[0].data
        out[...] = 0
        if t is not None and self.global_statistics:
            np.divide(t, s.std, out=out)
        elif t is not None:
            standardize_backward(t, n, _others(t), s.std, out, s.mean, s.product)  # the Jacobian is symmetric
        if self.params.scale_bias:
            scaled_tangent(self, n, out, lambda weight: weight.reshape(s.std.shape))


def _others(values: Array) -> tuple[int, ...]:
    """All axes but the channels'."""
    return tuple(axis for axis in range(values.ndim) if axis != 1)
