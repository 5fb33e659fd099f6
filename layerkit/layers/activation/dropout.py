"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Shape
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import symmetric


@register
class Dropout(Layer):
    """Sets values to 0 at random while training, and scales the rest so that means stay.

    train:          y = kept * x / (1 - dropout_ratio), kept being 0 with probability dropout_ratio, else 1, drawn anew
    test, predict:  y = x
    With scale_train false the scaling is done outside training instead: y = kept * x, and y = (1 - dropout_ratio) * x.

    Bottom 0: any shape. Top 0: the same shape.
    The gradient passes where values passed, with the same scale.

    Example: {name: drop6, type: Dropout, dropout_ratio: 0.4}

    Source: Srivastava et al. 2014; Caffe's Dropout (scale_train is that of its forks).
    """

    class Params(LayerParams):
        dropout_ratio: float = Field(0.5, ge=0, lt=1, description="Probability that a value is set to 0.")
        scale_train: bool = Field(True, description="Scale what is kept while training, rather than all afterwards.")

    def plan(self, *bottoms: Shape) -> Plan:
        draws = Scratch("draws", bottoms[0], "float32")  # the same draws in a float32 and a float64 net
        kept = Scratch("kept", bottoms[0], "bool", keep=True, like_blob=True)
        return Plan(
            tops=[bottoms[0]],
            scratch=[draws, kept] if self._training else [],
            random=self._training,
            reads_bottoms=(),
            reads_tops=(),
            in_place=True,
            by_rows=not self._training,
        )

    @property
    def _training(self) -> bool:
        return self.phase == "train"

    @property
    def _scale(self) -> float:
        share = 1.0 - self.params.dropout_ratio  # of the values that are kept
        if self._training:
            return 1 / share if self.params.scale_train else 1.0
        return 1.0 if self.params.scale_train else share

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        y = np.multiply(bottom[0].data, self._scale, out=top[0].data)
        if self._training:
            self.rng.random(dtype=np.float32, out=self.scratch.draws)
            kept = np.greater_equal(self.scratch.draws, self.params.dropout_ratio, out=self.scratch.kept)
            np.multiply(y, kept, out=y)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if propagate_down[0]:
            dx = np.multiply(top[0].diff, self._scale, out=bottom[0].diff)
            if self._training:
                np.multiply(dx, self.scratch.kept, out=dx)

    jvp = symmetric
