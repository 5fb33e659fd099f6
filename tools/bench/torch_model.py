"""A torch module from a net's plain layers: straight-line code, as someone who knows torch would write it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812 (its usual name)

Layer = Mapping[str, Any]
Emit = Callable[..., fx.Node]


class Builder:
    """Writes one layer after the other into an fx graph.

    `weights` names the parameters and buffers as layerkit does, `layer.weight`.
    """

    def __init__(self, layers: Sequence[Layer]):
        self.layers = layers
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.weights: dict[str, tuple[nn.Module, str]] = {}
        self.shapes = {
            top: shape for each in layers for top, shape in zip(each["tops"], each["top_shapes"], strict=True)
        }
        self.values: dict[str, fx.Node] = {}

    def build(self) -> tuple[fx.GraphModule, dict[str, tuple[nn.Module, str]]]:
        """The module from `data` to scores, without the loss, and where its weights lie."""
        for layer in self.layers:
            match layer["type"]:
                case "Input":
                    self.values[layer["tops"][0]] = self.graph.placeholder("data")
                case "SoftmaxWithLoss":
                    self.graph.output(self.values[layer["bottoms"][0]])
                case kind:
                    bottoms = [self.values[name] for name in layer["bottoms"]]
                    self.values[layer["tops"][0]] = getattr(self, f"_{kind.lower()}")(layer, *bottoms)
        return fx.GraphModule(self.root, self.graph), self.weights

    def _module(self, layer: Layer, module: nn.Module, x: fx.Node) -> fx.Node:
        """A call of a module; its weights have layerkit's names already."""
        name = layer["name"].replace("/", "_")
        self.root.add_module(name, module)
        self.weights.update({f"{layer['name']}.{key}": (module, key) for key, _ in module.named_parameters()})
        return self.graph.call_module(name, (x,))

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(function, args, kwargs)

    def _channels(self, layer: Layer) -> int:
        return int(self.shapes[layer["bottoms"][0]][1])

    def _convolution(self, layer: Layer, x: fx.Node) -> fx.Node:
        p = layer["params"]
        convolution = nn.Conv2d(
            self._channels(layer),
            p["num_output"],
            _pair(p["kernel_size"]),
            stride=_pair(p["stride"], 1),
            padding=_pair(p["pad"], 0),
            dilation=_pair(p["dilation"], 1),
            groups=p["group"],
            bias=p["bias_term"],
        )
        return self._module(layer, convolution, x)

    def _innerproduct(self, layer: Layer, x: fx.Node) -> fx.Node:
        outputs, inputs = layer["weights"]["weight"]
        if len(self.shapes[layer["bottoms"][0]]) > 2:
            x = self._call(torch.flatten, x, 1)
        return self._module(layer, nn.Linear(inputs, outputs, bias=layer["params"]["bias_term"]), x)

    def _batchnorm(self, layer: Layer, x: fx.Node) -> fx.Node:
        """Caffe's BatchNorm and the Scale behind it are one module in torch."""
        p = layer["params"]
        momentum = 1 - p["moving_average_fraction"]
        norm = nn.BatchNorm2d(self._channels(layer), eps=p["eps"], momentum=momentum)
        return self._module(layer, norm, x)

    def _scale(self, layer: Layer, x: fx.Node) -> fx.Node:
        (norm,) = (each for each in self.layers if each["tops"] == layer["bottoms"])
        for ours, theirs in (("scale", "weight"), ("bias", "bias")):
            self.weights[f"{layer['name']}.{ours}"] = self.weights.pop(f"{norm['name']}.{theirs}")
        return x

    def _lrn(self, layer: Layer, x: fx.Node) -> fx.Node:
        p = layer["params"]
        return self._call(F.local_response_norm, x, p["local_size"], alpha=p["alpha"], beta=p["beta"], k=p["k"])

    def _pooling(self, layer: Layer, x: fx.Node) -> fx.Node:
        p = layer["params"]
        if p["global_pooling"]:
            return self._call({"MAX": F.adaptive_max_pool2d, "AVE": F.adaptive_avg_pool2d}[p["pool"]], x, 1)
        pool = {"MAX": F.max_pool2d, "AVE": F.avg_pool2d}[p["pool"]]  # both clip windows as Caffe does
        stride, padding = _pair(p["stride"], 1), _pair(p["pad"], 0)
        ceil = p["round_mode"] == "CEIL"
        return self._call(pool, x, _pair(p["kernel_size"]), stride=stride, padding=padding, ceil_mode=ceil)

    def _relu(self, layer: Layer, x: fx.Node) -> fx.Node:
        return self._call(F.relu, x, inplace=_in_place(layer))

    def _relu6(self, layer: Layer, x: fx.Node) -> fx.Node:
        return self._call(F.relu6, x, inplace=_in_place(layer))

    def _eltwise(self, layer: Layer, *bottoms: fx.Node) -> fx.Node:
        assert layer["params"]["operation"] == "SUM"
        return reduce(lambda a, b: self._call(operator.add, a, b), bottoms)

    def _concat(self, layer: Layer, *bottoms: fx.Node) -> fx.Node:
        return self._call(torch.cat, list(bottoms), dim=layer["params"]["axis"])


def _pair(values: list[int], default: int | None = None) -> tuple[int, ...]:
    """A window parameter for both axes."""
    values = values or ([] if default is None else [default])
    return tuple(values * (2 // len(values)))


def _in_place(layer: Layer) -> bool:
    return layer["bottoms"][0].split("@")[0] == layer["tops"][0].split("@")[0]
