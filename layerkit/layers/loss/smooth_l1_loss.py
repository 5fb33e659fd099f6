"""A loss between the squared and the absolute difference, for the corners of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, same_shape
from layerkit.registry import register
from layerkit.tangents import scalar


@register
class SmoothL1Loss(Layer):
    """Smooth L1 loss: the squared difference near 0, the absolute one further away.

        d = inside (a - b)        s = slope of f at d = sigma^2 d, but at least -1 and at most 1
        f(d) = sigma^2 d^2 / 2 where |d| < 1 / sigma^2, |d| - 1 / (2 sigma^2) elsewhere
        loss = sum of outside f(d) / N        d loss / d a = outside inside s / N = - d loss / d b

    Bottoms: a and b (N, ...), of one shape; optionally inside, and outside, weights of the same shape, 1 if left out.
    a and b can have gradients, the weights cannot.
    Tops: the loss (scalar).
    Raises ShapeError where the bottoms differ in shape or have no axis.

    Example: {name: loss_bbox, type: SmoothL1Loss, bottom: [bbox_pred, bbox_targets], sigma: 3.0, loss_weight: 10}

    Source: Girshick, Fast R-CNN (2015), equation 3; smooth_L1_loss_layer.cu of its Caffe, where two kinds of weights
    must be given together; SSD's takes three bottoms, and the third is `inside`.
    """

    class Params(LayerParams):
        sigma: float = Field(
            1.0, gt=0, description="The larger, the narrower the squared part, which ends at 1 / sigma^2."
        )

    bottoms = (2, 4)
    loss = True

    def plan(self, *bottoms: Shape) -> Plan:
        shape = same_shape(bottoms)
        if not shape:
            raise ShapeError("the bottoms need samples on axis 0, but they are scalars", "bottom")
        slope = Scratch("slope", shape, keep=True, like_blob=True)
        return Plan(
            tops=[()],
            scratch=[slope, *(Scratch(name, shape, like_blob=True) for name in ("error", "half"))],
            gradients=(True, True, False, False)[: len(bottoms)],
            reads_bottoms=range(2, len(bottoms)),
            reads_tops=(),
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        slope, error, half, square = self.scratch.slope, self.scratch.error, self.scratch.half, self.params.sigma**2
        np.subtract(bottom[0].data, bottom[1].data, out=error)
        if len(bottom) > 2:
            error *= bottom[2].data
        np.clip(np.multiply(error, square, out=slope), -1, 1, out=slope)
        error -= np.divide(slope, 2 * square, out=half)  # f(d) = s (d - s / (2 sigma^2)), in both of its parts
        error *= slope
        if len(bottom) > 3:
            error *= bottom[3].data
        top[0].data[...] = np.sum(error) / max(1, len(error))

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        slope = self.scratch.slope
        scale = top[0].diff / max(1, len(slope))
        for blob, sign, wanted in zip(bottom[:2], (1, -1), propagate_down[:2], strict=True):
            if wanted:
                np.multiply(slope, sign * scale, out=blob.diff)
                for weights in bottom[2:]:
                    blob.diff[...] *= weights.data

    jvp = scalar
