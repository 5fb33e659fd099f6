"""Softmax and a cross entropy in which every mistake has a price of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from layerkit import arrayfile
from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import DataError, ShapeError, SnapshotError
from layerkit.layer import Bottoms, Layer, Plan, Scratch, Tops
from layerkit.layers.loss import gains
from layerkit.layers.loss.labels import check_labels, read_labels
from layerkit.layers.loss.normalization import LossParams
from layerkit.registry import register
from layerkit.tangents import scalar

LEAST = 1e-20  # Caffe's kLOG_THRESHOLD


@register
class InfogainLoss(Layer):
    """Cross entropy of a softmax in which each mistake has a price of its own.

    The prices are an infogain matrix H: at each place with label k, and p = softmax(x),

        loss = - sum over places and classes of H[k, c] log(p[c]) / D
        d loss / d x[c] = (p[c] (sum of H[k]) - H[k, c]) / D

    With H the identity it is SoftmaxWithLoss. D is what `normalization` says, by default VALID: the number of places
    whose label is not `ignore_label`. In the logarithm p counts as 1e-20 at least; the gradient does not know of that.

    Bottoms: x (..., C, ...), scores (any real numbers) with C classes on `axis`; labels (..., ...), one whole number in
    0..C-1 for each place, that is for each index of x without `axis`; H, C times C numbers in rows by label, unless
    `source` gives it. Labels and H have no gradient.
    Tops: the loss (scalar), in nats if the rows of H sum to 1; optionally p, of x's shape.
    Raises ShapeError where the bottoms do not match or H is given twice or not at all, DataError for a label that is
    no class or a file that holds no H.

    Example: {name: loss, type: InfogainLoss, bottom: [fc, label], source: infogain.npy}

    Source: Caffe's infogain_loss_layer.cpp; beyond it, a gradient that comes into the second top is passed on.
    """

    class Params(LossParams):
        source: str | None = Field(
            None,
            description="An .npy file, or an .npz or .safetensors file of one array, that holds H; "
            "from the current directory.",
        )
        axis: int = Field(1, description="The axis of the classes.")

    bottoms = (2, 3)
    tops = (1, 2)
    loss = True
    predict_type = "Softmax"
    uses_files = True

    _stored: Array | None = None  # what the file holds, once it was read

    def plan(self, *bottoms: Shape) -> Plan:
        scores, labels = bottoms[:2]
        axis = check_labels(scores, labels, self.params.axis)
        classes = scores[axis]
        if (len(bottoms) == 3) == (self.params.source is not None):
            raise ShapeError("the infogain matrix must be either bottom 2 or a file that source names", "source")
        if len(bottoms) == 3 and math.prod(bottoms[2]) != classes**2:
            raise ShapeError(
                f"the infogain matrix of {classes} classes must be {classes}x{classes}, not {shape_text(bottoms[2])}",
                "bottom",
            )
        places = gains.one_class(scores, axis)
        return Plan(
            tops=[(), scores][: self.num_tops],
            scratch=[
                Scratch("p", scores, keep=True, like_blob=True),
                Scratch("labels", places, "int64", keep=True),
                Scratch("gains", (*scores[:axis], *scores[axis + 1 :], classes), keep=True),  # classes last
                Scratch("valid", places, "bool"),
                Scratch("row", places),
                Scratch("divisor", (), keep=True),
                Scratch("product", scores, like_blob=True),
            ],
            gradients=(True, False, False)[: len(bottoms)],
            reads_bottoms=(),
            reads_tops=(),
        )

    def missing(self) -> str | None:
        source = self.params.source
        return None if source is None or Path(source).is_file() else f"there is no file {source!r}"

    def open(self) -> None:
        """Read the file. Raises DataError for one that is missing, broken or no matrix of finite numbers."""
        if self.params.source is not None:
            try:
                stored = arrayfile.load_one(self.params.source)
            except SnapshotError as error:
                raise DataError(str(error)) from None
            if stored.dtype.kind not in "biuf" or not np.isfinite(stored).all():
                raise DataError(f"{self.params.source!r} holds no infogain matrix: its values are not finite numbers")
            self._stored = stored

    def close(self) -> None:
        self._stored = None

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        x, p, axis = bottom[0].data, self.scratch.p, self.params.axis
        labels, valid = self.scratch.labels, self.scratch.valid
        matrix = bottom[2].data if len(bottom) == 3 else self._from_file(x.shape[axis])
        read_labels(bottom[1].data, x.shape[axis], self.params.ignore_label, labels)  # (..., 1, ...)
        np.greater_equal(labels, 0, out=valid)
        matrix = matrix.reshape(x.shape[axis], -1).astype(p.dtype, copy=False)
        np.take(matrix, labels.squeeze(axis), axis=0, out=self.scratch.gains, mode="clip")  # H[k], (..., C)

        gains.softmax(x, axis, p, self.scratch.row)
        total = gains.gained_loss(p, self._gains(), LEAST, valid, self.scratch.product)
        self.scratch.divisor[...] = gains.divisor_of_places(self.params, x.shape, axis, float(np.count_nonzero(valid)))
        top[0].data[...] = total / self.scratch.divisor
        if len(top) == 2:
            top[1].data[...] = p

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        if not propagate_down[0]:
            return
        p, dx, row, axis = self.scratch.p, bottom[0].diff, self.scratch.row, self.params.axis
        gains.gained_gradient(p, self._gains(), axis, top[0].diff / self.scratch.divisor, dx, row)
        np.copyto(dx, 0, where=np.less(self.scratch.labels, 0, out=self.scratch.valid))
        if len(top) == 2 and top[1].diff.any():
            gains.add_gradient_of_softmax(top[1].diff, p, axis, dx, row, self.scratch.product)

    def jvp(
        self, bottom: Bottoms, top: Tops, bottom_tangent: Sequence[Array | None], top_tangent: Sequence[Array]
    ) -> None:
        scalar(self, bottom, top, bottom_tangent, top_tangent)
        if len(top) == 2:
            gains.tangent_of_softmax(bottom_tangent[0], self.scratch.p, self.params.axis, top_tangent[1])

    def _gains(self) -> Array:
        """H[k] of each place, a view of the scores' shape."""
        return np.moveaxis(self.scratch.gains, -1, self.params.axis)

    def _from_file(self, classes: int) -> Array:
        stored = self._stored
        assert stored is not None  # the net has opened the layer
        if stored.size != classes**2:
            raise DataError(
                f"the infogain matrix of {classes} classes must be {classes}x{classes}, "
                f"but {self.params.source!r} holds {shape_text(stored.shape)}"
            )
        return stored
