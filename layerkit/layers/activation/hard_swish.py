"""HardSwish."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class HardSwish(Layer):
    """Swish with a logistic function of straight lines: 0 below -3, x above 3.

        y = x * s,  s = min(max(x / 6 + 1/2, 0), 1)        dx = dy * (s + x / 6 where -3 < x < 3)

    Bottoms: x, of any shape.
    Tops: y, of the same shape.

    Example: {name: hswish1, type: HardSwish}

    Source: Howard et al. 2019 (MobileNetV3); PyTorch's Hardswish.
    """

    def plan(self, *bottoms: Shape) -> Plan:
        return Plan(
            tops=[bottoms[0]],
            by_rows=True,
            scratch=[
                Scratch("share", bottoms[0], like_blob=True),
                Scratch("slope", bottoms[0], like_blob=True),
                Scratch("bent", bottoms[0], "bool", like_blob=True),
            ],
            reads_tops=(),
            in_place=True,
        )

    def _share(self, x: Array) -> Array:
        share: Array = np.divide(x, 6, out=self.scratch.share)
        np.add(share, 0.5, out=share)
        np.clip(share, 0, 1, out=share)
        return share

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x = bottom[0].data
        np.multiply(x, self._share(x), out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            x, slope = bottom[0].data, self.scratch.slope
            bent = np.less(np.abs(x, out=slope), 3, out=self.scratch.bent)
            np.divide(x, 6, out=slope)
            np.multiply(slope, bent, out=slope)
            np.add(slope, self._share(x), out=slope)
            np.multiply(top[0].diff, slope, out=bottom[0].diff)

    jvp = symmetric
