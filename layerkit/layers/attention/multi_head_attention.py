"""MultiHeadAttention."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from layerkit.blob import Array, Shape, shape_text
from layerkit.errors import ShapeError
from layerkit.fillers import Filler
from layerkit.layer import Bottoms, Layer, LayerParams, Plan, Scratch, Tops, Weight
from layerkit.registry import register
from layerkit.words import counted

PARTS = ("q", "k", "v")


@register
class MultiHeadAttention(Layer):
    """Each place of a sequence takes an average of others, weighted by how they fit its query.

        q = x W_q^T + b_q,  k = keys W_k^T + b_k,  v = values W_v^T + b_v         each cut into H heads of D = C / H
        p = softmax over s of q[t] k[s] / sqrt(D)                                 (N, H, T, S), for each head
        y = (heads of p v, side by side) W_o^T + b_o

    With `causal` place t sees only s <= t. What is padding is not seen either; a place that sees nothing takes 0.
    While training, dropout sets each p to 0 with probability dropout_ratio and scales the rest.

    Bottoms: x (N, T, C); optionally keys (N, S, Ck) and values (N, S, Cv) to attend to in the place of x; keys alone
    serve as both. Optionally last, and told by its two axes, a mask (N, S), not 0 where a place is padding and not to
    be seen, as in PyTorch; it has no gradient.
    Top 0: y (N, T, C).
    Weights, as in PyTorch: in_proj_weight (3 C, C), which is W_q, W_k, W_v one below the other, or where Ck or Cv is
    not C q_proj_weight (C, C), k_proj_weight (C, Ck), v_proj_weight (C, Cv); in_proj_bias (3 C,); out_proj_weight
    (C, C); out_proj_bias (C,). No biases where bias_term is false.
    Raises ShapeError where the bottoms do not fit together, or C does not come out even in heads.

    Example: {name: attention, type: MultiHeadAttention, num_heads: 4, causal: true, weight_filler: xavier}
    Source: Vaswani et al. 2017 (arXiv:1706.03762); torch.nn.MultiheadAttention with batch_first.
    """

    class Params(LayerParams):
        num_heads: int = Field(gt=0, description="Heads, H: averages that are taken side by side.")
        causal: bool = Field(False, description="Whether a place sees only itself and those before it.")
        bias_term: bool = Field(True, description="Whether the four products have biases.")
        dropout_ratio: float = Field(
            0.0, ge=0, lt=1, description="Probability that a weight p is set to 0 in training."
        )
        weight_filler: Filler = Field(Filler(type="xavier"), description="How the weights of the products start.")
        bias_filler: Filler = Field(Filler(), description="How the biases start.")

    bottoms = (1, 4)

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, *bottoms: Shape) -> Plan:
        p, (parts, mask) = self.params, _roles(bottoms)
        x, keys, values = (bottoms[i] for i in parts)
        self._check(x, keys, values, None if mask is None else bottoms[mask])
        (n, t, c), s, h = x, keys[1], p.num_heads
        joint = keys[2] == values[2] == c
        inputs = zip(PARTS, (c, keys[2], values[2]), strict=True)
        weights = [Weight("in_proj_weight", (3 * c, c), p.weight_filler)] if joint else []
        weights += [] if joint else [Weight(f"{part}_proj_weight", (c, k), p.weight_filler) for part, k in inputs]
        if p.bias_term:
            weights.append(Weight("in_proj_bias", (3 * c,), p.bias_filler))
        weights.append(Weight("out_proj_weight", (c, c), p.weight_filler))
        if p.bias_term:
            weights.append(Weight("out_proj_bias", (c,), p.bias_filler))
        pairs = (n, h, t, s)
        dropout = [Scratch("draws", pairs, "float32"), Scratch("kept", pairs, "bool", keep=True)]
        return Plan(
            tops=[x],
            weights=weights,
            scratch=[
                Scratch("q", x, keep=True),
                Scratch("k", (n, s, c), keep=True),
                Scratch("v", (n, s, c), keep=True),
                Scratch("p", pairs, keep=True),
                Scratch("context", x, keep=True),
                Scratch("hidden", (n, 1, t, s), "bool"),
                Scratch("row", (n, h, t, 1)),
                Scratch("dp", pairs),
                Scratch("work", pairs),
                Scratch("dcontext", x),
                Scratch("dq", x),
                Scratch("dk", (n, s, c)),
                Scratch("dv", (n, s, c)),
                *(Scratch(f"into_{part}", shape) for part, shape in zip(PARTS, (x, keys, values), strict=True)),
                *(dropout if self._drops else []),
            ],
            random=self._drops,
            gradients=[i in parts for i in range(len(bottoms))],
            reads_bottoms=sorted(set(parts)),
            reads_tops=(),
            by_rows=not self._drops,
            multiply_adds=n * c * (2 * t * c + s * (keys[2] + values[2]) + 2 * t * s),
        )

    def _check(self, x: Shape, keys: Shape, values: Shape, mask: Shape | None) -> None:
        """Raise ShapeError unless these fit together and fit the parameters."""
        if not len(x) == len(keys) == len(values) == 3:
            listed = ", ".join(map(shape_text, (x, keys, values)))
            raise ShapeError(
                f"bottoms must be (batch, places, channels), and the mask (batch, places): {listed}", "bottom"
            )
        if x[2] % self.params.num_heads:
            raise ShapeError(
                f"num_heads {self.params.num_heads} does not divide the {counted(x[2], 'channel')}", "num_heads"
            )
        if keys[:2] != values[:2] or keys[0] != x[0]:
            raise ShapeError(
                f"keys {shape_text(keys)} and values {shape_text(values)} must be as many, and their batch that of "
                f"bottom 0, {shape_text(x)}",
                "bottom",
            )
        if self.params.causal and keys[1] != x[1]:
            raise ShapeError(f"causal needs as many keys as there are queries, but {keys[1]} are not {x[1]}", "causal")
        if mask is not None and mask != keys[:2]:
            raise ShapeError(
                f"a mask for keys {shape_text(keys)} is {shape_text(keys[:2])}, not {shape_text(mask)}", "bottom"
            )

    @property
    def _drops(self) -> bool:
        return self.phase == "train" and self.params.dropout_ratio > 0

    # -- forward ---------------------------------------------------------------------------------------------------

    def forward(self, bottom: Bottoms, top: Tops) -> None:
        scratch, weights, y = self.scratch, self.weights, top[0].data
        parts, mask = _roles([blob.shape for blob in bottom])
        biases = np.split(weights.in_proj_bias.data, 3) if self.params.bias_term else [0, 0, 0]
        for part, i, w, b in zip(PARTS, parts, self._weights("data"), biases, strict=True):
            projected = np.matmul(bottom[i].data, w.T, out=getattr(scratch, part))
            projected += b
        q, k, v = (self._heads(getattr(scratch, part)) for part in PARTS)  # (N, H, T or S, D)

        p, row, scale = scratch.p, scratch.row, 1 / math.sqrt(q.shape[-1])
        np.matmul(q, k.mT, out=p)
        p *= scale
        hidden = scratch.hidden  # (N, 1, T, S)
        hidden[...] = False if mask is None else bottom[mask].data[:, np.newaxis, np.newaxis] != 0
        if self.params.causal:
            hidden |= ~np.tri(p.shape[2], dtype=bool)
        np.copyto(p, -np.inf, where=hidden)
        np.max(p, axis=-1, keepdims=True, out=row, initial=np.finfo(p.dtype).min)  # finite where nothing is seen
        np.exp(np.subtract(p, row, out=p), out=p)
        np.sum(p, axis=-1, keepdims=True, out=row)
        np.copyto(row, 1, where=row == 0)  # of a place that sees nothing
        p /= row

        if self._drops:
            self.rng.random(dtype=np.float32, out=scratch.draws)
            np.greater_equal(scratch.draws, self.params.dropout_ratio, out=scratch.kept)
        np.matmul(self._dropped(p, scratch.work), v, out=self._heads(scratch.context))
        np.matmul(scratch.context, weights.out_proj_weight.data.T, out=y)
        if self.params.bias_term:
            y += weights.out_proj_bias.data

    def _weights(self, what: str) -> list[Array]:
        """The data or diffs of W_q, W_k and W_v, (C, inputs) each."""
        if "in_proj_weight" in self.weights.names:
            return np.split(getattr(self.weights.in_proj_weight, what), 3)
        return [getattr(self.weights[f"{part}_proj_weight"], what) for part in PARTS]

    def _heads(self, array: Array) -> Array:
        """(N, T, C) as (N, H, T, D), a view."""
        n, t, c = array.shape
        h = self.params.num_heads
        return array.reshape(n, t, h, c // h, copy=False).swapaxes(1, 2)

    def _dropped(self, values: Array, out: Array) -> Array:
        """What dropout makes of p, or of its diff, written to `out` where anything is dropped."""
        if not self._drops:
            return values
        np.multiply(values, self.scratch.kept, out=out)
        out *= 1 / (1 - self.params.dropout_ratio)
        return out

    # -- backward --------------------------------------------------------------------------------------------------

    def backward(self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        scratch, weights, asked, dy = self.scratch, self.weights, self.asked, top[0].diff
        p, row = scratch.p, scratch.row
        if "out_proj_weight" in asked:
            np.matmul(_rows(dy).T, _rows(scratch.context), out=weights.out_proj_weight.diff)
        if "out_proj_bias" in asked:
            np.sum(dy, axis=(0, 1), out=weights.out_proj_bias.diff)

        dcontext = self._heads(np.matmul(dy, weights.out_proj_weight.data, out=scratch.dcontext))  # (N, H, T, D)
        q, k, v = (self._heads(getattr(scratch, part)) for part in PARTS)
        dq, dk, dv = (self._heads(getattr(scratch, f"d{part}")) for part in PARTS)
        np.matmul(self._dropped(p, scratch.work).mT, dcontext, out=dv)
        dp = np.matmul(dcontext, v.mT, out=scratch.dp)
        dp = self._dropped(dp, dp)
        np.sum(np.multiply(dp, p, out=scratch.work), axis=-1, keepdims=True, out=row)
        dp -= row
        dp *= p
        dp *= 1 / math.sqrt(q.shape[-1])  # of the scores
        np.matmul(dp, k, out=dq)
        np.matmul(dp.mT, q, out=dk)
        self._project_back(propagate_down, bottom)

    def _project_back(self, propagate_down: Sequence[bool], bottom: Bottoms) -> None:
        """The gradients of x, keys and values, and of what they are multiplied with."""
        parts, _ = _roles([blob.shape for blob in bottom])
        diffs = [getattr(self.scratch, f"d{part}") for part in PARTS]
        if "in_proj_bias" in self.asked:
            for diff, db in zip(diffs, np.split(self.weights.in_proj_bias.diff, 3), strict=True):
                np.sum(diff, axis=(0, 1), out=db)
        for part, i, diff, dw in zip(PARTS, parts, diffs, self._weights("diff"), strict=True):
            if not self.asked.isdisjoint(("in_proj_weight", f"{part}_proj_weight")):
                np.matmul(_rows(diff).T, _rows(bottom[i].data), out=dw)
        written = set()
        for part, i, diff, w in zip(PARTS, parts, diffs, self._weights("data"), strict=True):
            if propagate_down[i]:
                into = np.matmul(diff, w, out=getattr(self.scratch, f"into_{part}"))
                np.add(bottom[i].diff if i in written else 0, into, out=bottom[i].diff)
                written.add(i)


def _roles(bottoms: Sequence[Shape]) -> tuple[tuple[int, int, int], int | None]:
    """The numbers of the bottoms that are x, keys and values, and of the mask if there is one."""
    mask = len(bottoms) - 1 if len(bottoms) > 1 and len(bottoms[-1]) == 2 else None
    count = len(bottoms) - (mask is not None)
    if count > 3:
        raise ShapeError(f"the last of {count} bottoms must be a mask with two axes", "bottom")
    return (0, min(1, count - 1), count - 1), mask


def _rows(array: Array) -> Array:
    """(N, T, C) as (N T, C)."""
    return array.reshape(-1, array.shape[-1])
