"""MatMul."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops
from layerkit.registry import register
from layerkit.tangents import affine


@register
class MatMul(Layer):
    """Product of two blobs' matrices, which are their last two axes: y = a b.

    da = dy b^T,  db = a^T dy, summed over the axes along which a or b was stretched

    Bottoms: a (..., M, K), or (..., K, M) with transpose_a; b (..., K, N), or (..., N, K) with transpose_b. The leading
    axes are those of a batch: counted from the back they must be equal, or 1, or missing in one of the two.
    Top 0: (..., M, N).
    Raises ShapeError where the shapes do not fit.

    Example: {name: scores, type: MatMul, bottom: [queries, keys], transpose_b: true}
    Source: torch.matmul of arrays with at least two axes; ONNX's MatMul.
    """

    class Params(LayerParams):
        transpose_a: bool = Field(False, description="Whether the matrices of bottom 0 are transposed first.")
        transpose_b: bool = Field(False, description="Whether the matrices of bottom 1 are transposed first.")

    bottoms = (2, 2)

    def plan(self, *bottoms: Shape) -> Plan:
        for i, shape in enumerate(bottoms):
            if len(shape) < 2:
                raise ShapeError(f"bottom {i} must have at least two axes, not {shape_text(shape)}", "bottom")
        a, b = bottoms
        (m, k), (inner, n) = _turned(a, self.params.transpose_a), _turned(b, self.params.transpose_b)
        listed = f"bottom 0 is {shape_text(a)} and bottom 1 is {shape_text(b)}"
        if k != inner:
            raise ShapeError(f"the matrices are {m}x{k} and {inner}x{n}, which have no product: {listed}", "bottom")
        try:
            lead = np.broadcast_shapes(a[:-2], b[:-2])
        except ValueError:
            raise ShapeError(f"the axes before the last two do not fit together: {listed}", "bottom") from None
        return Plan(
            tops=[(*lead, m, n)],
            scratch=[
                Scratch(f"d{name}", (*lead, *shape[-2:]))
                for name, shape in (("a", a), ("b", b))
                if (*[1] * (len(lead) + 2 - len(shape)), *shape[:-2]) != lead
            ],
            reads_tops=(),
            by_rows=len(a) == len(b) > 2 and a[0] == b[0],
            multiply_adds=math.prod((*lead, m, n)) * k,
        )

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        a, b = self._matrices(bottom)
        np.matmul(a, b, out=top[0].data)

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        p, dy, (a, b) = self.params, top[0].diff, self._matrices(bottom)
        if propagate_down[0]:
            first, second = (b, dy.mT) if p.transpose_a else (dy, b.mT)
            _product(first, second, getattr(self.scratch, "da", None), bottom[0].diff)
        if propagate_down[1]:
            first, second = (dy.mT, a) if p.transpose_b else (a.mT, dy)
            _product(first, second, getattr(self.scratch, "db", None), bottom[1].diff)

    jvp = affine

    def _matrices(self, bottom: Bottoms) -> tuple[Array, Array]:
        """Views (..., M, K) and (..., K, N)."""
        a, b = bottom[0].data, bottom[1].data
        return a.mT if self.params.transpose_a else a, b.mT if self.params.transpose_b else b


def _turned(shape: Shape, transposed: bool) -> Shape:
    return shape[:-3:-1] if transposed else shape[-2:]


def _product(first: Array, second: Array, whole: Array | None, out: Array) -> None:
    """`out` = first second, summed over the axes along which `out` was stretched; `whole` holds the product then."""
    out = out[(np.newaxis,) * (max(first.ndim, second.ndim) - out.ndim)]
    if whole is None:
        np.matmul(first, second, out=out)
        return
    np.matmul(first, second, out=whole)
    stretched = tuple(i for i, (n, whole_n) in enumerate(zip(out.shape, whole.shape, strict=True)) if n != whole_n)
    np.sum(whole, axis=stretched, keepdims=True, out=out)
