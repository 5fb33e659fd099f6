"""Rules of the activations."""

from __future__ import annotations

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value


@rule("AbsVal")
def _abs_val(here: Here, x: Value) -> Value:
    return here.op("Abs", x)


@rule("BNLL")
def _bnll(here: Here, x: Value) -> Value:
    return here.op("Softplus", x)


@rule("Clip")
def _clip(here: Here, x: Value) -> Value:
    return here.op("Clip", x, float(here.params.min), float(here.params.max))


@rule("Dropout")
def _dropout(here: Here, x: Value) -> Value:
    return x if here.params.scale_train else x * (1 - here.params.dropout_ratio)


@rule("ELU")
def _elu(here: Here, x: Value) -> Value:
    return here.op("Elu", x, alpha=float(here.params.alpha))


@rule("Exp")
def _exp(here: Here, x: Value) -> Value:
    factor, term = here.layer.exponent  # type: ignore[attr-defined]
    return here.op("Exp", x * factor + term)


@rule("GELU")
def _gelu(here: Here, x: Value) -> Value:
    return here.op("Gelu", x, approximate=here.params.approximate.lower())


@rule("HardSwish")
def _hard_swish(here: Here, x: Value) -> Value:
    return here.op("HardSwish", x)


@rule("Log")
def _log(here: Here, x: Value) -> Value:
    p = here.params
    return here.op("Div", here.op("Log", x * p.scale + p.shift), p.log_base)


@rule("PReLU")
def _prelu(here: Here, x: Value) -> Value:
    slope = here.weight("slope")
    axes = 0 if here.params.channel_shared else 1
    return here.op("PRelu", x, here.stretched(slope, axes, 1, len(here.bottoms[0])))


@rule("Power")
def _power(here: Here, x: Value) -> Value:
    p = here.params
    if p.power == 0 or p.scale == 0:
        return here.op("Expand", 1.0 if p.power == 0 else p.shift**p.power, here.op("Shape", x))
    linear = x if (p.scale, p.shift) == (1, 0) else x * p.scale + p.shift
    return linear if p.power == 1 else linear**p.power


@rule("ReLU")
def _relu(here: Here, x: Value) -> Value:
    slope = float(here.params.negative_slope)
    return here.op("LeakyRelu", x, alpha=slope) if slope else here.op("Relu", x)


@rule("ReLU6")
def _relu6(here: Here, x: Value) -> Value:
    return here.op("Clip", x, 0.0, 6.0)


@rule("Sigmoid")
def _sigmoid(here: Here, x: Value) -> Value:
    return here.op("Sigmoid", x)


@rule("Softmax")
def _softmax(here: Here, x: Value) -> Value:
    return here.op("Softmax", x, axis=here.params.axis)


@rule("Softplus")
def _softplus(here: Here, x: Value) -> Value:
    p = here.params
    steep = x * p.beta
    return here.op("Where", steep > p.threshold, x, here.op("Softplus", steep) / p.beta)


@rule("Swish")
def _swish(here: Here, x: Value) -> Value:
    return x * here.op("Sigmoid", x * here.params.beta)


@rule("TanH")
def _tanh(here: Here, x: Value) -> Value:
    return here.op("Tanh", x)


@rule("Threshold")
def _threshold(here: Here, x: Value) -> Value:
    return here.numbers(x > here.params.threshold)
