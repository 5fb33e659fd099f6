"""The rule of Expression: a formula is a graph of primitives, and each is written by itself.

A reshape and a mean hold lengths, which may be those of the batch. So the formula is made ready for two sizes of batch:
what differs between them depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from layerkit.blob import Shape
from layerkit.convert.onnx.here import BatchMattersError, Here
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.values import Value
from layerkit.errors import ExpressionError
from layerkit.layers.expression.expression import Expression
from layerkit.layers.expression.nodes import Node
from layerkit.layers.expression.program import Program

OPERATORS = {
    "abs": "Abs", "add": "Add", "both": "And", "cos": "Cos", "divide": "Div", "either": "Or", "equal": "Equal",
    "exp": "Exp", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual", "log": "Log", "matmul": "MatMul", "maximum": "Max", "minimum": "Min",
    "multiply": "Mul", "negative": "Neg", "opposite": "Not", "power": "Pow", "relu": "Relu", "sigmoid": "Sigmoid",
    "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "subtract": "Sub", "tan": "Tan", "tanh": "Tanh", "where": "Where",
}  # fmt: skip
"""Primitives that are an operator as it is."""


@rule("Expression")
def _expression(here: Here, *bottoms: Value) -> list[Value]:
    layer = here.layer
    assert isinstance(layer, Expression)
    shapes = [here.shape(i, len(dims)) for i, dims in enumerate(here.bottoms)]
    batches = [
        tuple(2 * n if isinstance(dim, str) else n for n, dim in zip(shape, dims, strict=True))
        for shape, dims in zip(shapes, here.bottoms, strict=True)
    ]
    program = layer.program(shapes)
    twins = _twins(program, layer, batches)
    values: dict[int, Value] = {}
    for node, twin in zip(program.forward_order, twins, strict=True):
        values[node.index] = _written(here, node, twin, values, bottoms)
    return [values[node.index] for node in program.results]


def _twins(program: Program, layer: Expression, shapes: Sequence[Shape]) -> list[Node]:
    """The nodes of the same formula for bottoms of other shapes, in the same order."""
    reason = "its formula fits one size of batch"
    try:
        twins = layer.program(shapes).forward_order
    except ExpressionError:
        raise BatchMattersError(reason) from None
    if [_place(node) for node in twins] != [_place(node) for node in program.forward_order]:
        raise BatchMattersError(reason)
    return twins


def _place(node: Node) -> object:
    """What a node is and what it is made of."""
    return node.kind, node.index, [each.index for each in node.arguments]


def _written(here: Here, node: Node, twin: Node, values: Mapping[int, Value], bottoms: Sequence[Value]) -> Value:
    if node.kind == "leaf":
        kind, key = node.value
        return bottoms[key] if kind == "bottom" else here.weight(key)
    if node.kind == "constant":
        if node.value != twin.value:
            raise BatchMattersError("its formula counts the samples of a batch")
        return here.constant(node.value)
    first, *others = (values[each.index] for each in node.arguments)
    settings = dict(node.settings)
    match node.kind:
        case "square":
            return here.op("Mul", first, first)
        case "not_equal":
            return here.op("Not", here.op("Equal", first, *others))
        case "number":
            return here.numbers(first)
        case "sum" | "max":
            return here.op("ReduceSum" if node.kind == "sum" else "ReduceMax", first, list(settings["axis"]))
        case "softmax":
            return _softmax(here, first, settings["axis"])
        case "transpose":
            return here.op("Transpose", first, perm=list(settings["axes"])) if node.shape else first
        case "reshape":
            return here.op("Reshape", first, _lengths(node, twin), allowzero=int(0 in node.shape))
    return here.op(OPERATORS[node.kind], first, *others)


def _softmax(here: Here, x: Value, axes: Sequence[int]) -> Value:
    """Over one axis, or over several together."""
    if len(axes) == 1:
        return here.op("Softmax", x, axis=axes[0])
    parts = here.op("Exp", here.op("Sub", x, here.op("ReduceMax", x, list(axes))))
    return here.op("Div", parts, here.op("ReduceSum", parts, list(axes)))


def _lengths(node: Node, twin: Node) -> list[int]:
    """The shape that a reshape makes; the one length that depends on the batch is worked out."""
    lengths = [n if n == other else -1 for n, other in zip(node.shape, twin.shape, strict=True)]
    if lengths.count(-1) > 1:
        raise BatchMattersError("its formula makes several lengths of those of the batch")
    return lengths
