"""NetSpec: nets written in Python, as pycaffe has it. What is written becomes a NetParameter; that needs protobuf.

    n = NetSpec()
    n.data, n.label = layers.Data(source="train_lmdb", backend=params.Data.LMDB, batch_size=64, ntop=2)
    n.fc = layers.InnerProduct(n.data, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = layers.SoftmaxWithLoss(n.fc, n.label)
    print(n.to_proto())

Source: pycaffe's net_spec.py.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from layerkit.convert.schema import table
from layerkit.pycaffe.proto.messages import classes


def param_name_dict() -> dict[str, str]:
    """The message that holds a layer type's own parameters, without `_param`, by the type: LRN -> lrn."""
    fields = sorted(table().messages["LayerParameter"].items(), key=lambda item: bool(item[1].branch))
    found: dict[str, str] = {}
    for name, field in fields:
        if name.endswith("_param"):
            found.setdefault(field.type.removesuffix("Parameter"), name.removesuffix("_param"))
    return found


def assign_proto(proto: Any, name: str, value: Any) -> None:
    """Set a message's field: a dict sets a message's fields, and a repeated field takes a list or one item alone."""
    if hasattr(getattr(proto, name), "extend"):
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Mapping):
                _assign_all(getattr(proto, name).add(), item)
            else:
                getattr(proto, name).append(item)
    elif isinstance(value, Mapping):
        _assign_all(getattr(proto, name), value)
    else:
        setattr(proto, name, value)


def _assign_all(proto: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        assign_proto(proto, name, value)


class Top:
    """One of the blobs that a layer makes."""

    def __init__(self, fn: Function, n: int):
        self.fn = fn
        self.n = n

    def to_proto(self) -> Any:
        """A NetParameter of all layers that this blob needs."""
        return to_proto(self)


class Function:
    """A layer: its type, the blobs that it reads, and its parameters."""

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]):
        """`ntop` among the parameters is how many blobs it makes, `in_place` whether it writes what it reads.

        Raises TypeError for an input that is no Top.
        """
        for index, each in enumerate(inputs):
            if not isinstance(each, Top):
                raise TypeError(f"{type_name}: input {index} must be a blob of a layer, not {type(each).__name__}")
        self.type_name = type_name
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = int(self.params.pop("ntop", 1))
        self.in_place = bool(self.params.pop("in_place", False))
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


def to_proto(*tops: Top) -> Any:
    """A NetParameter of all layers that these blobs need; blobs and layers are named by their types and numbered."""
    return _written([top.fn for top in tops], {})


class NetSpec:
    """Blobs by name, set as attributes or items; `to_proto` writes all layers that they need."""

    tops: OrderedDict[str, Any]

    def __init__(self) -> None:
        object.__setattr__(self, "tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"the net has no blob {name!r}") from None

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def update(self, name: str, params: Mapping[str, Any]) -> None:
        """Change parameters of the layer that makes a blob."""
        _function(self.tops[name]).params.update(params)

    def to_proto(self) -> Any:
        """The NetParameter."""
        return _written(map(_function, self.tops.values()), {top: name for name, top in self.tops.items()})


def _function(top: Top | Function) -> Function:
    return top.fn if isinstance(top, Top) else top


def _written(functions: Any, names: dict[Any, str]) -> Any:
    writer = _Writer(names)
    for function in functions:
        writer.write(function)
    net = classes()["NetParameter"]()
    net.layer.extend(writer.layers.values())
    return net


class _Writer:
    """Writes each layer once, behind those that it reads."""

    def __init__(self, names: dict[Any, str]):
        self.layers: OrderedDict[Function, Any] = OrderedDict()
        self._names = names
        self._count: Counter[str] = Counter()

    def write(self, function: Function) -> None:
        if function in self.layers:
            return
        for each in function.inputs:
            self.write(each.fn)
        layer = classes()["LayerParameter"](type=function.type_name)
        layer.bottom.extend(self.layers[each.fn].top[each.n] for each in function.inputs)
        tops = [self._name(top, function) for top in function.tops] if not function.in_place else list(layer.bottom)
        layer.top.extend(tops)
        layer.name = self._name(function.tops[0] if function.ntop else function, function)
        own = _own_messages().get(function.type_name)
        for name, value in function.params.items():
            inside = own is not None and name in table().messages[own[1]] and not name.endswith("param")
            assign_proto(getattr(layer, own[0]) if own is not None and inside else layer, name, value)
        self.layers[function] = layer

    def _name(self, thing: Top | Function, function: Function) -> str:
        if thing not in self._names:
            self._count[function.type_name] += 1
            self._names[thing] = f"{function.type_name}{self._count[function.type_name]}"
        return self._names[thing]


@cache
def _own_messages() -> dict[str, tuple[str, str]]:
    """By layer type, the field of LayerParameter that holds its own parameters, and that field's message."""
    fields = table().messages["LayerParameter"]
    return {kind: (f"{name}_param", fields[f"{name}_param"].type) for kind, name in param_name_dict().items()}


class Layers:
    """`layers.Convolution(bottom, num_output=8, kernel_size=3)`: a function for each type of layer, known or not."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def layer(*inputs: Top, **params: Any) -> Any:
            function = Function(name, inputs, params)
            return function if function.ntop == 0 else function.tops[0] if function.ntop == 1 else function.tops

        return layer


class Parameters:
    """`params.Pooling.MAX`: the values of enumerations of a type's parameters."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return classes()[f"{name}Parameter"]


layers = Layers()
params = Parameters()
