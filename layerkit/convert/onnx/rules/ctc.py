"""The rule of CTCLoss: a Scan goes through the steps with the logarithms of alpha, which CTCLoss explains."""

from __future__ import annotations

from typing import Any

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.package import onnx
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.rules.answers import divided, size, total
from layerkit.convert.onnx.values import Nodes, Value

NEVER = -1e30
"""The logarithm of no probability: a number, so that sums and differences of it stay numbers."""


@rule("CTCLoss")
def _ctc_loss(here: Here, x: Value, given: Value, *lengths: Value) -> Value:
    p, (steps, rows, _) = here.params, here.bottoms[0]
    most = here.length(here.bottoms[1][1])
    labels = here.integers(given)  # (N, L)
    if len(lengths) == 2:
        places = here.constant(range(most), "int64")
        counts = here.integers(lengths[1])
        counted = here.op("Less", places, here.op("Unsqueeze", counts, [1]))
    else:
        ended = here.op("Cast", here.op("Equal", labels, here.constant(p.padding, "int64")), to=7)
        counted = here.op("Equal", here.op("CumSum", ended, here.constant(1, "int64")), here.constant(0, "int64"))
        counts = here.op("ReduceSum", here.op("Cast", counted, to=7), [1], keepdims=0)
    symbols = _between_blanks(here, here.op("Where", counted, labels, here.constant(p.blank, "int64")), most)
    scores = here.op("LogSoftmax", x, axis=2)
    wide = here.op("Expand", symbols, here.lengths(x, here.bottoms[0], (steps, rows, 2 * most + 1)))
    emitted = here.op("GatherElements", scores, wide, axis=2)  # (T, N, S)
    t = here.op(
        "Range", here.constant(0, "int64"), here.op("Squeeze", here.op("Shape", x, end=1)), here.constant(1, "int64")
    )
    until = here.integers(lengths[0]) if lengths else here.op("Expand", here.op("Size", t), here.op("Shape", counts))
    at_first = [0.0] + [NEVER] * (2 * most)  # before the first step only the blank in front is there
    alpha = here.op("Expand", here.constant(at_first), here.op("Shape", symbols))
    body = _step(here, _skips(here, symbols, most), until, 2 * most + 1)
    alpha = here.op("Scan", alpha, emitted, here.op("Unsqueeze", t, [1]), num_scan_inputs=2, body=body)
    likely = here.op("ReduceLogSumExp", here.op("Add", alpha, _ends(here, counts, most)), [1], keepdims=0)
    impossible = 0.0 if p.zero_infinity else float("inf")
    losses = here.op("Where", likely > NEVER / 2, -likely, impossible)  # (N,)
    if p.normalization == "LENGTH":
        losses = divided(here, losses, here.numbers(counts))
    return total(here, losses) if p.normalization == "NONE" else divided(here, total(here, losses), size(here, losses))


def _between_blanks(here: Here, labels: Value, most: int) -> Value:
    """Labels (N, L) with blanks before, between and behind, (N, 2 L + 1)."""
    blank = here.constant(here.params.blank, "int64")
    rows = here.op("Shape", labels, end=1)
    last = here.op("Expand", blank, here.op("Concat", rows, here.constant([1], "int64"), axis=0))
    if not most:
        return last
    blanks = here.op("Expand", blank, here.op("Shape", labels))
    pairs = [here.op("Unsqueeze", each, [2]) for each in (blanks, labels)]
    return here.op("Concat", here.op("Reshape", here.op("Concat", *pairs, axis=2), [0, 2 * most]), last, axis=1)


def _skips(here: Here, symbols: Value, most: int) -> Value:
    """0 where a way may come from two symbols before, past a blank between different labels; else NEVER: (N, S)."""
    before = here.op("Slice", symbols, [0], [2 * most - 1], [1]) if most else symbols
    shifted = here.op("Pad", before, [0, 2, 0, 0], here.constant(here.params.blank, "int64")) if most else symbols
    blank = here.op("Equal", symbols, here.constant(here.params.blank, "int64"))
    return here.op("Where", here.op("Or", blank, here.op("Equal", symbols, shifted)), NEVER, 0.0)


def _ends(here: Here, counts: Value, most: int) -> Value:
    """0 at the last label and the blank behind it, else NEVER: (N, S)."""
    places = here.constant(range(2 * most + 1), "int64")
    last = here.op("Unsqueeze", here.op("Mul", counts, [2]), [1])
    outside = here.op("Or", here.op("Greater", places, last), here.op("Less", places, here.op("Sub", last, [1])))
    return here.op("Where", outside, NEVER, 0.0)


def _step(here: Here, skips: Value, until: Value, symbols: int) -> Any:
    """The graph of one step: alpha, what is emitted and the number of the step in; alpha out."""
    helper, kinds = onnx().helper, onnx().TensorProto
    nodes = Nodes(here.nodes.constants, f"{here.nodes.prefix}step.", here.nodes)
    rows = here.bottoms[0][1]
    shapes = {
        "alpha": (kinds.FLOAT, [rows, symbols]),
        "emitted": (kinds.FLOAT, [rows, symbols]),
        "t": (kinds.INT64, [1]),
    }
    inputs = [helper.make_tensor_value_info(nodes.prefix + name, *shape) for name, shape in shapes.items()]
    alpha, emitted, t = (nodes.value(info.name) for info in inputs)
    ways = [alpha]
    for shift in range(1, min(3, symbols)):
        part = nodes.op("Slice", alpha, [0], [symbols - shift], [1])
        way = nodes.op("Pad", part, [0, shift, 0, 0], NEVER)
        ways.append(nodes.op("Add", way, skips) if shift == 2 else way)
    together = nodes.op("Concat", *(nodes.op("Unsqueeze", way, [2]) for way in ways), axis=2)
    sums = nodes.op("ReduceLogSumExp", together, [2], keepdims=0)
    after = nodes.op("Max", nodes.op("Add", sums, emitted), NEVER)
    going = nodes.op("Unsqueeze", nodes.op("Less", t, until), [1])
    result = nodes.op("Where", going, after, alpha)
    output = helper.make_tensor_value_info(result.name, kinds.FLOAT, [rows, symbols])
    return helper.make_graph(nodes.protos, f"{nodes.prefix}body", inputs, [output])
