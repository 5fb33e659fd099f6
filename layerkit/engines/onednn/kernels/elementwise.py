"""Functions of one element at a time.

Log, BNLL and Softplus are left to numpy: oneDNN 3.2's logarithm is off by up to 30 float32 epsilons, so that its
SOFT_RELU is -2e-6 at -20 and 4e-6 at -60, where it should come to nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from layerkit.blob import Array, Blob
from layerkit.engines.kernel import Kernel, Run, Work
from layerkit.engines.onednn import declarations as c
from layerkit.engines.onednn.kernels.common import blob_desc
from layerkit.engines.onednn.primitives import Attributes, Context
from layerkit.layer import Bottoms, Tops


class Rule(NamedTuple):
    """An elementwise function; `backward` is the rule for its gradient, from the top where `by_top`."""

    forward: int
    backward: int
    by_top: bool
    alpha: float = 0.0
    beta: float = 0.0


def relu(context: Context, work: Work) -> Kernel:
    """y = x where x > 0, else negative_slope * x."""
    return Elementwise(context, work, _relu_rule(work.layer.params.negative_slope))


def relu6(context: Context, work: Work) -> Kernel:
    """y = min(max(x, 0), 6)."""
    return Elementwise(context, work, _CLIP)


def clip(context: Context, work: Work) -> Kernel:
    """y = min(max(x, low), high), with a gradient at both bounds.

    oneDNN has rules with a gradient at none of them, or at the upper one, so the gradient's lower bound is a bit lower.
    """
    low, high = work.layer.params.min, work.layer.params.max
    lower = float(np.nextafter(np.float32(low), np.float32(-np.inf)))
    gradient = Rule(c.CLIP_ABOVE, c.CLIP_ABOVE, False, lower, high)
    return Elementwise(context, work, Rule(c.CLIP_ABOVE, c.CLIP_ABOVE, False, low, high), gradient)


def abs_val(context: Context, work: Work) -> Kernel:
    """y = |x|."""
    return Elementwise(context, work, Rule(c.ABS, c.ABS, False))


def elu(context: Context, work: Work) -> Kernel | None:
    """y = x where x > 0, else alpha * (exp(x) - 1); a negative alpha is left to numpy."""
    alpha = work.layer.params.alpha
    return None if alpha < 0 else Elementwise(context, work, Rule(c.ELU, c.ELU_BY_TOP, True, alpha))


def exp(context: Context, work: Work) -> Kernel | None:
    """y = exp(x); another base, scale or shift is left to numpy."""
    if work.layer.exponent != (1, 0):
        return None
    return Elementwise(context, work, Rule(c.EXP, c.EXP_BY_TOP, True))


def swish(context: Context, work: Work) -> Kernel:
    """y = x / (1 + exp(-beta * x))."""
    return Elementwise(context, work, Rule(c.SWISH, c.SWISH, False, work.layer.params.beta))


def gelu(context: Context, work: Work) -> Kernel:
    """y = x * (1 + erf(x / sqrt(2))) / 2, or with a tanh in its place."""
    rule = c.GELU_TANH if work.layer.params.approximate == "TANH" else c.GELU_ERF
    return Elementwise(context, work, Rule(rule, rule, False))


def hard_swish(context: Context, work: Work) -> Kernel:
    """y = x * min(max(x / 6 + 1/2, 0), 1)."""
    return Elementwise(context, work, Rule(c.HARD_SWISH, c.HARD_SWISH, False, 1 / 6, 1 / 2))


def sigmoid(context: Context, work: Work) -> Kernel:
    """y = 1 / (1 + exp(-x))."""
    return Elementwise(context, work, Rule(c.LOGISTIC, c.LOGISTIC_BY_TOP, True))


def tanh(context: Context, work: Work) -> Kernel:
    """y = tanh(x)."""
    return Elementwise(context, work, Rule(c.TANH, c.TANH_BY_TOP, True))


def power(context: Context, work: Work) -> Kernel | None:
    """y = scale * x + shift; other powers are left to numpy."""
    p = work.layer.params
    if p.power != 1:
        return None
    return Elementwise(context, work, Rule(c.LINEAR, c.LINEAR, False, p.scale, p.shift))


_CLIP = Rule(c.CLIP, c.CLIP_BY_TOP, True, 0.0, 6.0)


def _relu_rule(slope: float) -> Rule:
    by_top = slope >= 0  # then y > 0 just where x > 0
    return Rule(c.RELU, c.RELU_BY_TOP if by_top else c.RELU, by_top, slope)


class Elementwise(Kernel):
    """One pass over the array."""

    shares_data = shares_diff = True

    def __init__(self, context: Context, work: Work, rule: Rule, gradient: Rule | None = None):
        self.context, self.gradient = context, gradient or rule
        self.desc = blob_desc(context, work.bottoms[0])
        kind = c.TRAINING if work.trains else c.INFERENCE
        self.primitive = context.primitive(
            "eltwise_forward", kind, rule.forward, self.desc, self.desc, rule.alpha, rule.beta
        )
        self.implementation = self.primitive.implementation
        self.reads_tops = (0,) if rule.by_top else ()
        self.reads_bottoms = () if rule.by_top or rule.forward == c.LINEAR else (0,)

    def forward(self, bottom: Bottoms, top: Tops) -> Run:
        memory = self.context.memory
        return self.primitive.run({c.SRC: memory(bottom[0].data), c.DST: memory(top[0].data)})

    def backward(
        self, top: Tops, propagate_down: Sequence[bool], bottom: Bottoms, asked: Sequence[Collection[str]]
    ) -> Run:
        seen = top[0] if self.gradient.by_top else bottom[0]
        return _backward(self.context, self.gradient, seen.data, top[0].diff, bottom[0].diff)


class Rectifier(NamedTuple):
    """A ReLU or ReLU6 that is computed with what stands before it, and whose gradient follows from its top."""

    rule: Rule

    @classmethod
    def behind(cls, work: Work) -> Rectifier | None:
        """The rectifier at the end of a chain, if there is one that can be joined."""
        last = work.layers[-1]
        if len(work.layers) > 1 and work.types[-1] == "ReLU6":
            return cls(_CLIP)
        if len(work.layers) == 1 or work.types[-1] != "ReLU" or last.params.negative_slope < 0:
            return None
        return cls(_relu_rule(last.params.negative_slope))

    @staticmethod
    def cannot_join(work: Work) -> bool:
        """Whether a chain ends in a rectifier whose gradient does not follow from its top."""
        return work.types[-1] in ("ReLU", "ReLU6") and Rectifier.behind(work) is None

    @property
    def is_plain_relu(self) -> bool:
        """Whether it is max(x, 0)."""
        return self.rule.forward == c.RELU and self.rule.alpha == 0

    def forward(self, context: Context, array: Array) -> Run:
        """A function that rectifies an array in place."""
        desc = context.of(array)
        primitive = context.primitive(
            "eltwise_forward", c.TRAINING, self.rule.forward, desc, desc, self.rule.alpha, self.rule.beta
        )
        memory = context.memory(array)
        return primitive.run({c.SRC: memory, c.DST: memory})

    def attributes(self, context: Context, others: Attributes | None = None) -> Attributes:
        """What makes a primitive rectify its result, after what the others make it do."""
        attributes = others or context.attributes()
        return attributes.then_elementwise(self.rule.forward, self.rule.alpha, self.rule.beta)

    def backward(self, context: Context, top: Array, top_diff: Array, diff: Array) -> Run:
        """A function that writes the gradient before the rectifier to `diff`, which may be `top_diff`."""
        return _backward(context, self.rule, top, top_diff, diff)


def finish(context: Context, y: Array, bias: Blob | None, rectifier: Rectifier | None) -> Run | None:
    """A function that adds a bias to each channel of an array in place and then rectifies, whichever is given."""
    if bias is None:
        return rectifier.forward(context, y) if rectifier else None
    whole, each = context.of(y), context.desc((1, bias.count, *[1] * (y.ndim - 2)))
    attributes = rectifier.attributes(context) if rectifier else None
    primitive = context.primitive("binary", c.ADD, whole, each, whole, attributes=attributes)
    memory = context.memory(y, whole)
    return primitive.run({c.SRC: memory, c.SRC_1: context.memory(bias.values, each), c.DST: memory})


def _backward(context: Context, rule: Rule, seen: Array, top_diff: Array, diff: Array) -> Run:
    """dx = dy * f', where f' follows from `seen`, the top or the bottom."""
    desc = context.of(seen)
    hint = context.primitive("eltwise_forward", c.TRAINING, rule.forward, desc, desc, rule.alpha, rule.beta)
    primitive = context.primitive("eltwise_backward", rule.backward, desc, desc, desc, rule.alpha, rule.beta, hint)
    arrays = {c.DIFF_SRC: context.memory(diff), c.DIFF_DST: context.memory(top_diff)}
    return primitive.run({**arrays, c.DST if rule.by_top else c.SRC: context.memory(seen)})
