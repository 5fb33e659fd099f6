"""Layers as formulas: what the layers of other types compute, written as an Expression would have it.

They serve where a layer's second derivative is wanted, and the tests compare each with the layer itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.layer import Bottoms, Layer, Tops
from layerkit.layers.expression.building import build
from layerkit.layers.expression.derivatives import gradients, tangents
from layerkit.layers.expression.expression import Expression
from layerkit.layers.expression.nodes import Graph, Node, evaluate
from layerkit.layers.expression.primitives import PRIMITIVES
from layerkit.layers.expression.reading import Formula

Values = Mapping[str, Any]
"""Names in a formula that stand for arrays and numbers that do not move."""


class LayerFormula:
    """A layer's tops as nodes of a graph, of its bottoms and weights."""

    def __init__(
        self, bottoms: list[Node], weights: dict[str, Node], results: Sequence[Node], leaves: dict[Any, Array]
    ):
        self.bottoms, self.weights, self.results, self.leaves = bottoms, weights, results, leaves
        self.arguments = [*bottoms, *weights.values()]

    def values(self, dtype: np.dtype[Any]) -> list[Array]:
        """The tops."""
        return evaluate(self.results, self.leaves, dtype)

    def gradients(self, diffs: Sequence[Array], dtype: np.dtype[Any]) -> list[Array]:
        """The diffs of the bottoms and then of the weights."""
        found = self._gradients(diffs)
        values = iter(evaluate([node for node in found if node is not None], self.leaves, dtype))
        pairs = zip(self.arguments, found, strict=True)
        return [np.zeros(x.shape, dtype) if g is None else next(values) for x, g in pairs]

    def curvature(
        self,
        diffs: Sequence[Array],
        bottom_tangent: Sequence[Array | None],
        weight_tangents: Mapping[str, Array],
        dtype: np.dtype[Any],
    ) -> tuple[list[Array | None], dict[str, Array]]:
        """The tangents of the diffs of the bottoms and weights, where these move."""
        found = self._gradients(diffs)
        moving = {}
        for x, t in zip(self.arguments, [*bottom_tangent, *map(weight_tangents.get, self.weights)], strict=True):
            if t is not None:
                moving[x] = x.graph.leaf(("tangent", x.index), x.shape)
                self.leaves["tangent", x.index] = t
        changes = tangents([node for node in found if node is not None], moving)
        values = iter(evaluate([node for node in changes if node is not None], self.leaves, dtype))
        parts = iter(changes)
        each = [None if g is None or next(parts) is None else next(values) for g in found]
        count = len(self.bottoms)
        weights = zip(self.weights, each[count:], strict=True)
        return each[:count], {name: part for name, part in weights if part is not None}

    def _gradients(self, diffs: Sequence[Array]) -> list[Node | None]:
        pairs = []
        for i, (y, diff) in enumerate(zip(self.results, diffs, strict=True)):
            self.leaves["diff", i] = diff
            pairs.append((y, y.graph.leaf(("diff", i), y.shape)))
        return gradients(pairs, self.arguments)


def formula_of(layer: Layer, bottom: Bottoms, top: Tops) -> LayerFormula | None:
    """A layer as a formula, after its forward pass; None where there is none. Bottoms and weights may move."""
    known = FORMULAS.get(type(layer).__name__)
    written = None if known is None else known(layer, bottom)
    if written is None and not isinstance(layer, Expression):
        return None
    graph = Graph(PRIMITIVES)
    bottoms = [graph.leaf(("bottom", i), blob.shape) for i, blob in enumerate(bottom)]
    weights = {name: graph.leaf(("weight", name), blob.shape) for name, blob in layer.weights.items()}
    leaves: dict[Any, Array] = {("bottom", i): blob.data for i, blob in enumerate(bottom)}
    leaves |= {("weight", name): blob.values for name, blob in layer.weights.items()}
    if isinstance(layer, Expression):
        return LayerFormula(bottoms, weights, layer.results(graph, bottoms, weights), leaves)
    assert written is not None
    text, given = written
    names: dict[str, Node] = {**weights, **{_called(i): node for i, node in enumerate(bottoms)}}
    for name, value in given.items():
        names[name] = graph.leaf(("value", name), np.shape(value))
        leaves["value", name] = np.asarray(value, bottom[0].dtype)
    return LayerFormula(bottoms, weights, [build(Formula(each), names, graph) for each in text.split(";")], leaves)


Written = tuple[str, Values]
Writer = Callable[[Layer, Bottoms], Written | None]


def _called(bottom: int) -> str:
    """What a bottom is called in formulas."""
    return "xyz"[bottom] if bottom < 3 else f"x{bottom}"


def _by(text: str, **params: str) -> Writer:
    """A formula of x, y, z (the bottoms), the weights, and parameters of the layer under other names."""
    return lambda layer, bottom: (text, {name: float(getattr(layer.params, param)) for name, param in params.items()})


def _exp(layer: Layer, bottom: Bottoms) -> Written:
    p = layer.params
    return "exp(k * (shift + scale * x))", {"k": p.log_base, "shift": p.shift, "scale": p.scale}


def _log(layer: Layer, bottom: Bottoms) -> Written:
    p = layer.params
    return "log(shift + scale * x) / k", {"k": p.log_base, "shift": p.shift, "scale": p.scale}


def _power(layer: Layer, bottom: Bottoms) -> Written:
    p = layer.params  # the exponent stands in the formula, so that a whole one may be of a negative number
    if p.scale == 0 or p.power == 0:
        return "c + 0 * x", {"c": 1.0 if p.power == 0 else float(np.power(p.shift, p.power))}
    return f"(shift + scale * x) ** ({p.power!r})", {"shift": p.shift, "scale": p.scale}


def _gelu(layer: Layer, bottom: Bottoms) -> Written | None:
    if layer.params.approximate != "TANH":
        return None
    return "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))", {}


def _prelu(layer: Layer, bottom: Bottoms) -> Written:
    slope = layer.weights["slope"].shape
    along = (*slope, *[1] * (bottom[0].data.ndim - 2)) if slope else ()
    return f"relu(x) - {f'reshape(slope, {along})' if slope else 'slope'} * relu(-x)", {}


def _dropout(layer: Layer, bottom: Bottoms) -> Written:
    kept = getattr(layer.scratch, "kept", np.ones(()))
    return "x * kept * s", {"kept": kept, "s": layer._scale}  # type: ignore[attr-defined]


def _softmax_loss(layer: Layer, bottom: Bottoms) -> Written:
    s, axis = layer.scratch, layer.params.axis
    gains = getattr(s, "gains", s.right) * (s.labels >= 0)
    loss = f"-sum(g * log(max(softmax(x, axis={axis}), least))) / d"
    text = loss if layer.num_tops == 1 else f"{loss}; softmax(x, axis={axis})"
    return text, {"g": gains, "d": s.divisor, "least": np.finfo(s.p.dtype).tiny}


def _sigmoid_loss(layer: Layer, bottom: Bottoms) -> Written:
    valid = layer.scratch.valid
    targets = bottom[1].data.reshape(valid.shape)
    given = {"t": targets, "valid": valid, "d": layer._divisor(valid)}  # type: ignore[attr-defined]
    return "sum(valid * (relu(x) - x * t + log(1 + exp(-abs(x))))) / d", given


def _euclidean(layer: Layer, bottom: Bottoms) -> Written:
    return f"sum((x - reshape(y, {bottom[0].shape})) ** 2) / d", {"d": 2 * max(1, len(bottom[0].data))}


def _eltwise(layer: Layer, bottom: Bottoms) -> Written | None:
    p, names = layer.params, [_called(i) for i in range(len(bottom))]
    if p.operation == "MAX":
        return None
    if p.operation == "PROD":
        return " * ".join(names), {}
    return " + ".join(f"({c!r}) * {x}" for c, x in zip(p.coeff or [1.0] * len(names), names, strict=True)), {}


def _layer_norm(layer: Layer, bottom: Bottoms) -> Written:
    p, ndim = layer.params, bottom[0].data.ndim
    text = _standardized("x", tuple(range(p.axis % ndim, ndim)))
    return f"{text} * scale + bias" if p.affine else text, {"eps": p.eps}


def _rms_norm(layer: Layer, bottom: Bottoms) -> Written:
    p, ndim = layer.params, bottom[0].data.ndim
    text = f"x / sqrt(mean(x ** 2, axis={tuple(range(p.axis % ndim, ndim))}, keepdims=True) + eps)"
    return f"{text} * scale" if p.affine else text, {"eps": p.eps}


def _group_norm(layer: Layer, bottom: Bottoms) -> Written:
    p, shape = layer.params, bottom[0].shape
    grouped = (shape[0], p.num_groups, shape[1] // p.num_groups, *shape[2:])
    text = _standardized(f"reshape(x, {grouped})", tuple(range(2, len(grouped))))
    text, along = f"reshape({text}, {shape})", (shape[1], *[1] * (len(shape) - 2))
    return f"{text} * reshape(scale, {along}) + reshape(bias, {along})" if p.affine else text, {"eps": p.eps}


def _mvn(layer: Layer, bottom: Bottoms) -> Written:
    p, x = layer.params, bottom[0].data
    axes = layer._axes(x.ndim)  # type: ignore[attr-defined]
    centred = f"(x - mean(x, axis={axes}, keepdims=True))"
    if not p.normalize_variance:
        return centred, {}
    variance = f"mean({centred} ** 2, axis={axes}, keepdims=True)"  # 0 where all values are equal, as one alone is
    return f"{centred} / (sqrt(max({variance}, least)) + eps)", {"eps": p.eps, "least": np.finfo(x.dtype).tiny}


def _normalize(layer: Layer, bottom: Bottoms) -> Written:
    p, x = layer.params, bottom[0].data
    axes = layer._axes(x.ndim)  # type: ignore[attr-defined]
    scale = "scale" if p.channel_shared else f"reshape(scale, {(x.shape[1], *[1] * (x.ndim - 2))})"
    return f"x / sqrt(sum(x ** 2, axis={axes}, keepdims=True) + eps) * {scale}", {"eps": p.eps}


def _lrn(layer: Layer, bottom: Bottoms) -> Written:
    """The sum over a window is a product with a matrix, 1 near the diagonal and else 0, along each axis of it."""
    p, shape = layer.params, bottom[0].shape
    axes, alpha_n = layer._window(shape)  # type: ignore[attr-defined]
    total, given = "x ** 2", {"k": p.k if p.norm_region == "ACROSS_CHANNELS" else 1.0, "a": alpha_n}
    for axis in axes:
        i, three = np.arange(shape[axis]), (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        given[f"near{axis}"] = abs(i - i[:, np.newaxis]) <= p.local_size // 2
        total = f"reshape(near{axis} @ reshape({total}, {three}), {shape})"
    return f"x * (k + a * {total}) ** ({-p.beta!r})", given


def _batch_norm(layer: Layer, bottom: Bottoms) -> Written:
    x, p, std = bottom[0].data, layer.params, layer.scratch.std
    text, given = _standardized("x", tuple(axis for axis in range(x.ndim) if axis != 1)), {"eps": p.eps}
    if layer.global_statistics:  # type: ignore[attr-defined]
        mean, variance = np.empty(std.size, std.dtype), np.empty(std.size, std.dtype)
        layer.read_statistics(mean, variance)  # type: ignore[attr-defined]
        text, given = "(x - m) / std", {"m": mean.reshape(std.shape), "std": std}
    affine = f" * reshape(scale, {std.shape}) + reshape(bias, {std.shape})" if p.scale_bias else ""
    return text + affine, given


def _standardized(x: str, axes: tuple[int, ...]) -> str:
    """What has mean 0 and variance 1 over some axes."""
    centred = f"({x} - mean({x}, axis={axes}, keepdims=True))"
    return f"{centred} / sqrt(mean({centred} ** 2, axis={axes}, keepdims=True) + eps)"


def _reduction(layer: Layer, bottom: Bottoms) -> Written:
    x = bottom[0].data
    kept = layer.params.axis % max(1, x.ndim) if x.ndim else 0
    term = {"ASUM": "abs(x)", "SUMSQ": "x ** 2"}.get(layer.params.operation, "x")
    return f"k * sum({term}, axis={tuple(range(kept, x.ndim))})", {"k": layer._factor(x.shape, kept)}  # type: ignore[attr-defined]


FORMULAS: dict[str, Writer] = {
    "AbsVal": _by("abs(x)"),
    "BNLL": _by("relu(x) + log(1 + exp(-abs(x)))"),
    "BatchNorm": _batch_norm,
    "Clip": _by("where(x < least, least, where(x > most, most, x))", least="min", most="max"),
    "Dropout": _dropout,
    "ELU": _by("where(x > 0, x, alpha * (exp(min(x, 0)) - 1))", alpha="alpha"),
    "Eltwise": _eltwise,
    "EuclideanLoss": _euclidean,
    "Exp": _exp,
    "GELU": _gelu,
    "GroupNorm": _group_norm,
    "HardSwish": _by("where(x < -3, 0, where(x > 3, x, x * (x + 3) / 6))"),
    "LRN": _lrn,
    "LayerNorm": _layer_norm,
    "Log": _log,
    "MVN": _mvn,
    "Normalize": _normalize,
    "PReLU": _prelu,
    "Power": _power,
    "RMSNorm": _rms_norm,
    "ReLU": _by("relu(x) - slope * relu(-x)", slope="negative_slope"),
    "ReLU6": _by("min(relu(x), 6)"),
    "Reduction": _reduction,
    "Sigmoid": _by("sigmoid(x)"),
    "SigmoidCrossEntropyLoss": _sigmoid_loss,
    "Softmax": lambda layer, bottom: (f"softmax(x, axis={layer.params.axis})", {}),
    "SoftmaxWithLoss": _softmax_loss,
    "Softplus": _by("where(k * x > most, x, log(1 + exp(min(k * x, most))) / k)", k="beta", most="threshold"),
    "Swish": _by("x * sigmoid(beta * x)", beta="beta"),
    "TanH": _by("tanh(x)"),
}
"""By type, the formula of each top, with the values of names that are neither bottoms (x, y, z) nor weights."""
