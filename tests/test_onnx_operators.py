"""Each operator that is read, in the forms that it comes in, against what onnxruntime makes of it."""

import numpy as np
import pytest
from onnx_tools import Session, compare, model_of
from test_onnx_import import net_in

from layerkit.convert.onnx import operators

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def row(label, kind, shape=("N", 3, 7, 5), constants=None, attributes=None, opset=24, **more):
    """A model of one node, whose first input is x and whose others are the constants in their order."""
    read = ",".join(["x", *(constants or {})])
    return (f"{kind}-{label}", [(kind, read, "y", attributes or {})], {"x": shape}, constants, {"opset": opset, **more})


def rows(label, nodes, shapes, constants=None, **more):
    return (label, nodes, shapes, constants, more)


IMAGE, LINE, ROWS = ("N", 3, 7, 5), ("N", 4, 6), ("N", 6)
KERNEL = {"w": floats(4, 3, 3, 2)}
POOL = {"kernel_shape": [3, 2]}
CORNERS = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
NORMAL = {"s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3))}
AXES = (
    ("places", (2, 3), {}),
    ("places go", (2, 3), {"keepdims": 0}),
    ("channels", (1,), {}),
    ("middle goes", (1, -2), {"keepdims": 0}),
)

GELUS = {
    "as PyTorch writes it": [("Div", "x,r", "d"), ("Erf", "d", "e"), ("Add", "e,o", "a"), ("Mul", "x,a", "m"),
                             ("Mul", "m,h", "out")],
    "the half first": [("Mul", "i,x", "d"), ("Erf", "d", "e"), ("Add", "o,e", "a"), ("Mul", "h,a", "m"),
                       ("Mul", "m,x", "out")],
    "half of x": [("Mul", "x,h", "f"), ("Div", "x,r", "d"), ("Erf", "d", "e"), ("Add", "e,o", "a"),
                  ("Mul", "f,a", "out")],
}  # fmt: skip


def weights_of(kind, ways, *, given=True, rows=1, first="hc"):
    """Constants of a recurrent node of 3 inputs and a state of 4; with `given` also those that it may lack."""
    gates = {"LSTM": 16, "GRU": 12, "RNN": 4}[kind]
    found = {"w": floats(ways, gates, 3), "r": floats(ways, gates, 4)}
    if given:
        found["b"] = floats(ways, 2 * gates)
        states = {name: np.repeat(floats(ways, rows, 4), 2 // rows, 1) for name in first}
        found |= {name: state for name, state in states.items() if kind == "LSTM" or name == "h"}
    return found


TABLE = [
    *(row("plain", kind) for kind in ("Abs", "Exp", "HardSwish", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh", "Elu")),
    *(row("plain", kind, attributes={}) for kind in ("LeakyRelu", "HardSigmoid", "Identity", "Gelu", "Flatten")),
    row("alpha", "LeakyRelu", attributes={"alpha": 0.3}),
    row("alpha", "Elu", attributes={"alpha": 0.3}),
    row("tanh", "Gelu", attributes={"approximate": "tanh"}),
    row("beta", "HardSigmoid", attributes={"alpha": 0.3, "beta": 0.4}),
    row("to floats", "Cast", attributes={"to": 1}),
    rows("Log, Sqrt, Reciprocal", [("Exp", "x", "e"), ("Log", "e", "l"), ("Sqrt", "e", "s"), ("Reciprocal", "s", "y")],
         {"x": ROWS}, outputs=("y", "l")),
    row("6", "Clip", constants={"a": np.float32(0), "b": np.float32(6)}),
    row("0", "Clip", constants={"a": np.float32(0)}),
    row("both", "Clip", constants={"a": np.float32(-0.3), "b": np.float32(0.4)}),
    row("none", "Clip"),
    row("attributes", "Clip", attributes={"min": -0.3, "max": 0.4}, opset=10),
    rows("Clip, most alone", [("Clip", "x,,b", "y")], {"x": ROWS}, {"b": np.float32(0.2)}),
    row("channels", "PRelu", constants={"slope": floats(3, 1, 1)}),
    row("one", "PRelu", constants={"slope": floats(1)}),
    row("last", "Softmax"),
    row("axis", "Softmax", attributes={"axis": 1}),
    row("old", "Softmax", ROWS, opset=11),
    row("last", "LogSoftmax"),
    row("square", "Pow", constants={"p": np.float32(2)}),
    *(row("number", kind, constants={"c": np.float32(0.7)}) for kind in ("Add", "Sub", "Mul", "Div")),
    *(row("channels", kind, constants={"c": floats(3, 1, 1)}) for kind in ("Add", "Sub", "Mul", "Div")),
    *(row("plane", kind, constants={"c": floats(7, 5)}) for kind in ("Add", "Mul")),
    *(row("holes", kind, constants={"c": floats(3, 1, 5)}) for kind in ("Add", "Mul")),
    *(rows(f"{kind}, turned", [("Exp", "x", "e"), (kind, "c,e", "y")], {"x": ROWS}, {"c": floats(6)})
      for kind in ("Add", "Sub", "Mul", "Div")),
    *(rows(f"{kind}, two", [("Exp", "b", "e"), (kind, "x,e", "y")], {"x": IMAGE, "b": IMAGE})
      for kind in ("Add", "Sub", "Mul", "Div", "Max", "Sum")),
    *(rows(f"{kind}, stretched", [("Exp", "b", "e"), (kind, "x,e", "y")], {"x": IMAGE, "b": ("N", 3, 1, 1)})
      for kind in ("Add", "Sub", "Mul", "Div", "Max")),
    rows("Sum, one", [("Sum", "x", "y")], {"x": ROWS}),
    rows("Sum, three", [("Tanh", "x", "t"), ("Exp", "x", "e"), ("Sum", "x,t,e", "y")], {"x": ROWS}),
    row("rows", "Gemm", ROWS, {"w": floats(6, 4), "b": floats(4)}),
    row("turned, no bias", "Gemm", ROWS, {"w": floats(4, 6)}, {"transB": 1}),
    row("factors", "Gemm", ROWS, {"w": floats(4, 6), "b": floats(1, 4)}, {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    row("one bias", "Gemm", ROWS, {"w": floats(6, 4), "b": floats(1)}),
    row("constant", "MatMul", LINE, {"w": floats(6, 3)}),
    rows("MatMul, two", [("Transpose", "x", "t", {"perm": [0, 2, 1]}), ("MatMul", "x,t", "y")], {"x": LINE}),
    rows("MatMul, a bias", [("MatMul", "x,w", "m"), ("Add", "b,m", "y")], {"x": LINE},
         {"w": floats(6, 3), "b": floats(3)}),
    rows("MatMul, read twice", [("MatMul", "x,w", "m"), ("Add", "m,b", "a"), ("Mul", "a,m", "y")], {"x": LINE},
         {"w": floats(6, 3), "b": floats(3)}),
    rows("Gather, a table", [("Floor", "f", "g"), ("Cast", "x", "i", {"to": 7}), ("Gather", "w,i", "y")],
         {"x": ("N", 2)}, {"w": floats(3, 4), "f": floats(1)}),
    row("plain", "Conv", constants=KERNEL),
    row("bias, sides", "Conv", constants={**KERNEL, "b": floats(4)},
        attributes={"pads": [1, 2, 1, 2], "strides": [2, 1], "dilations": [2, 1]}),
    row("uneven pads", "Conv", constants=KERNEL, attributes={"pads": [0, 1, 2, 0]}),
    row("SAME_UPPER", "Conv", constants=KERNEL, attributes={"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    row("SAME_LOWER", "Conv", constants=KERNEL, attributes={"auto_pad": "SAME_LOWER"}),
    row("VALID", "Conv", constants=KERNEL, attributes={"auto_pad": "VALID"}),
    row("groups", "Conv", ("N", 4, 7, 5), {"w": floats(6, 2, 3, 2)}, {"group": 2}),
    row("line", "Conv", LINE, {"w": floats(3, 4, 3)}, {"pads": [1, 1]}),
    row("volume", "Conv", ("N", 2, 3, 4, 5), {"w": floats(3, 2, 2, 2, 3)}),
    rows("Conv, a bias", [("Conv", "x,w", "c"), ("Add", "c,b", "y")], {"x": IMAGE}, {**KERNEL, "b": floats(4, 1, 1)}),
    row("plain", "ConvTranspose", constants={"w": floats(3, 4, 3, 2)},
        attributes={"strides": [2, 3], "pads": [1, 0, 1, 0]}),
    row("groups, bias", "ConvTranspose", ("N", 4, 3, 5), {"w": floats(4, 3, 2, 2), "b": floats(6)}, {"group": 2}),
    *(row("plain", kind) for kind in ("GlobalAveragePool", "GlobalMaxPool")),
    *(row(label, kind, attributes={**POOL, **more})
      for kind in ("MaxPool", "AveragePool")
      for label, more in (
          ("plain", {}),
          ("steps", {"strides": [2, 2]}),
          ("up", {"strides": [3, 2], "ceil_mode": 1}),
          ("pads", {"pads": [1, 1, 1, 1]}),
          ("pads, up", {"pads": [1, 1, 1, 1], "strides": [3, 3], "ceil_mode": 1}),
      )),
    *(row(label, kind, attributes={**POOL, "strides": [2, 2], **pads, **more})
      for kind, more in (("MaxPool", {}), ("AveragePool", {"count_include_pad": 1}))
      for label, pads in (("pads behind", {"pads": [0, 0, 2, 1]}), ("SAME_UPPER", {"auto_pad": "SAME_UPPER"}))),
    row("pads count", "AveragePool", attributes={**POOL, "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    row("pads and steps", "AveragePool", attributes={**POOL, "pads": [2, 0, 2, 0], "strides": [3, 1]}),
    row("nearest", "Resize", constants={"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 2, 3])},
        attributes={"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    row("nearest, as it comes", "Resize", constants={"r": np.zeros(0, np.float32), "s": np.float32([1, 1, 3, 3])}),
    rows("Resize, corners", [("Resize", "x,,,s", "y", CORNERS)], {"x": (2, 3, 7, 5)}, {"s": ints(2, 3, 9, 4)}),
    row("old", "Upsample", constants={"s": np.float32([1, 1, 2, 2])}, opset=9),
    row("last", "Concat", attributes={"axis": -1}),
    rows("Concat, three", [("Tanh", "x", "t"), ("Concat", "x,t,c", "y", {"axis": 1})], {"x": (2, 3, 7, 5)},
         {"c": floats(2, 1, 7, 5)}),
    row("axis 2", "Flatten", attributes={"axis": 2}),
    row("axis from behind", "Flatten", attributes={"axis": -1}),
    row("copied", "Reshape", constants={"s": ints(0, 5, -1)}),
    row("worked out", "Reshape", constants={"s": ints(-1, 35)}),
    row("batch worked out", "Reshape", constants={"s": ints(-1, 3, 35)}),
    rows("Reshape, by its batch",
         [("Shape", "x", "s"), ("Gather", "s,i", "n"), ("Unsqueeze", "n,a", "u"), ("Concat", "u,k", "t", {"axis": 0}),
          ("Reshape", "x,t", "y")], {"x": IMAGE}, {"i": np.int64(0), "a": ints(0), "k": ints(15, 7)}),
    rows("Reshape, by its shape",
         [("Shape", "x", "s", {"start": 0, "end": 1}), ("Concat", "s,k", "t", {"axis": 0}), ("Reshape", "x,t", "y")],
         {"x": IMAGE}, {"k": ints(15, 7)}),
    row("axes", "Unsqueeze", constants={"a": ints(1, -1)}),
    row("attribute", "Unsqueeze", attributes={"axes": [1]}, opset=11),
    row("axes", "Squeeze", ("N", 1, 6, 1), {"a": ints(1)}),
    row("attribute", "Squeeze", ("N", 1, 6, 1), attributes={"axes": [3, 1]}, opset=11),
    row("same", "Expand", ROWS, {"s": ints(1)}),
    row("given", "Transpose", attributes={"perm": [0, 3, 1, 2]}),
    row("as it is", "Transpose", attributes={"perm": [0, 1, 2, 3]}),
    row("turned", "Transpose", (2, 3, 4)),
    row("twice", "Tile", constants={"r": ints(1, 2, 1, 3)}),
    row("plain", "DepthToSpace", ("N", 8, 3, 5), attributes={"blocksize": 2}),
    row("columns", "DepthToSpace", ("N", 8, 3, 5), attributes={"blocksize": 2, "mode": "CRD"}),
    row("plain", "SpaceToDepth", ("N", 3, 4, 6), attributes={"blocksize": 2}),
    row("zeros", "Pad", constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    row("a value", "Pad", constants={"p": ints(0, 1, 0, 0, 0, 0, 0, 0), "v": np.float32(0.5)}),
    row("mirrored", "Pad", constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, attributes={"mode": "reflect"}),
    row("border", "Pad", constants={"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}, attributes={"mode": "edge"}),
    row("attributes", "Pad", attributes={"pads": [0, 0, 1, 2, 0, 0, 3, 0], "value": 0.5}, opset=10),
    rows("Pad, axes", [("Pad", "x,p,,a", "y")], {"x": IMAGE}, {"p": ints(1, 2), "a": ints(-1)}),
    row("nothing", "Pad", constants={"p": ints(*[0] * 8)}),
    rows("Split, lengths", [("Split", "x,s", "y,z", {"axis": 1})], {"x": IMAGE}, {"s": ints(1, 2)}, outputs=("y", "z")),
    rows("Split, equal", [("Split", "x", "y,z", {"axis": -1, "num_outputs": 2})], {"x": LINE}, outputs=("y", "z")),
    rows("Split, nearly equal", [("Split", "x", "y,z", {"axis": 1, "num_outputs": 2})], {"x": IMAGE},
         outputs=("y", "z")),
    row("middle", "Slice", constants={"b": ints(1, 1), "e": ints(3, -1), "a": ints(1, 2)}),
    row("end", "Slice", constants={"b": ints(-2), "e": ints(2**62), "a": ints(2)}),
    row("attributes", "Slice", attributes={"starts": [0, 0, 2], "ends": [9999999, 2, 5]}, opset=9),
    row("everything", "Slice", constants={"b": ints(0), "e": ints(2**62), "a": ints(1)}),
    *(row(label, kind, constants={"a": ints(*axes)}, attributes=more)
      for kind in ("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1")
      for label, axes, more in AXES),
    row("attribute", "ReduceMean", attributes={"axes": [-1], "keepdims": 0}, opset=11),
    row("nothing", "ReduceSum", attributes={"noop_with_empty_axes": 1}),
    row("plain", "BatchNormalization", constants=NORMAL, attributes={"epsilon": 1e-3}),
    row("bare", "BatchNormalization", constants={**NORMAL, "s": np.ones(3, "f"), "b": np.zeros(3, "f")}),
    row("plain", "InstanceNormalization", constants={"s": floats(3), "b": floats(3)}),
    row("plain", "GroupNormalization", ("N", 4, 3, 5), {"s": floats(4), "b": floats(4)}, {"num_groups": 2}),
    row("last", "LayerNormalization", constants={"s": floats(5), "b": floats(5)}, attributes={"epsilon": 1e-3}),
    row("axis, no bias", "LayerNormalization", constants={"s": floats(7, 5)}, attributes={"axis": 2}),
    row("last", "RMSNormalization", constants={"s": floats(5)}),
    row("plain", "LRN", attributes={"size": 3, "alpha": 0.5, "beta": 0.6, "bias": 1.5}),
    row("as it comes", "LRN", attributes={"size": 3}),
    row("plain", "Swish", attributes={"alpha": 1.5}),
    rows("Dropout", [("Dropout", "x,r", "y")], {"x": ROWS}, {"r": np.float32(0.3)}),
    rows("Dropout, old", [("Dropout", "x", "y", {"ratio": 0.3})], {"x": ROWS}, opset=10),
    rows("an output that is read", [("Tanh", "x", "y"), ("Exp", "y", "z")], {"x": ROWS}, outputs=("y", "z")),
    rows("an output that is only passed on", [("Tanh", "x", "t"), ("Identity", "t", "y")], {"x": ROWS}),
    rows("an input that is only passed on", [("Identity", "x", "y")], {"x": ROWS}),
    rows("half precision", [("Cast", "h", "c", {"to": 1}), ("Add", "x,c", "y")], {"x": ROWS},
         {"h": np.float16(floats(6))}),
    *(row("plain", kind) for kind in ("Sin", "Cos", "Tan", "Sign", "Softsign", "ReduceMax", "ReduceMin", "ReduceL2")),
    *(row(label, kind, constants={"a": ints(*axes)}, attributes=more)
      for kind in ("ReduceMax", "ReduceMin", "ReduceL2") for label, axes, more in AXES[1:3]),
    row("nothing", "ReduceMax", attributes={"noop_with_empty_axes": 1}),
    rows("Where, comparisons",
         [("Greater", "x,c", "g"), ("Less", "x,h", "l"), ("Or", "g,l", "o"), ("And", "o,k", "a"), ("Not", "a", "n"),
          ("Where", "n,x,low", "w"), ("GreaterOrEqual", "x,w", "e"), ("Cast", "e", "f", {"to": 1}),
          ("LessOrEqual", "w,x", "q"), ("Equal", "w,x", "s"), ("And", "q,s", "t"), ("Where", "t,f,w", "y")],
         {"x": IMAGE}, {"c": np.float32(0.3), "h": floats(7, 5), "k": np.array([True, True, False, True, True]),
                        "low": np.float32(-0.2)}),
    rows("Min, three", [("Tanh", "x", "t"), ("Min", "x,t,c,b", "y")], {"x": IMAGE},
         {"c": np.float32(0.1), "b": floats(3, 1, 1)}),
    rows("Erf, by itself", [("Relu", "x", "r"), ("Erf", "r", "y"), ("Erf", "x", "z")], {"x": ROWS}, outputs=("y", "z")),
    rows("Min, one", [("Min", "x", "y")], {"x": ROWS}),
    rows("Pow, two", [("Exp", "x", "e"), ("Pow", "e,x", "p"), ("Pow", "c,p", "y")], {"x": ROWS}, {"c": np.float32(2)}),
    *(rows(f"ArgMax, {label}", [("ArgMax", "x", "i", more), ("Cast", "i", "y", {"to": 1})], {"x": IMAGE})
      for label, more in (("kept", {"axis": 2}), ("gone", {"axis": -1, "keepdims": 0}))),
    rows("Expand, stretched", [("ReduceMax", "x,a", "m"), ("Expand", "m,s", "y")], {"x": IMAGE},
         {"a": ints(1, 3), "s": ints(3, 1, 4)}),
    rows("Expand, more axes", [("Expand", "x,s", "y")], {"x": (2, 1, 5)}, {"s": ints(4, 1, 3, 1)}),
    row("one place", "Gather", constants={"i": np.int64(-1)}, attributes={"axis": 2}),
    row("a run", "Gather", constants={"i": ints(1, 2)}, attributes={"axis": 1}),
    row("any places", "Gather", constants={"i": ints([3, 0, 1], [-1, 1, 4])}, attributes={"axis": 3}),
    row("every second", "Gather", constants={"i": ints(1, 3, 5)}, attributes={"axis": 2}),
    row("steps", "Slice", constants={"b": ints(1, 0), "e": ints(7, 2**62), "a": ints(2, 3), "s": ints(2, 3)}),
    row("backward", "Slice", constants={"b": ints(-1), "e": ints(-(2**62)), "a": ints(2), "s": ints(-2)}),
    row("turned", "Slice", constants={"b": ints(-1), "e": ints(-(2**62)), "a": ints(2), "s": ints(-1)}),
    rows("Softmax of a constant", [("Softmax", "c", "s", {"axis": 0}), ("Add", "x,s", "y")], {"x": ROWS},
         {"c": floats(6)}),
    rows("ReverseSequence", [("Abs", "x", "p"), ("ReduceMax", "p,a", "m", {"keepdims": 0}),
          ("Mul", "m,c", "n"), ("Cast", "n", "l", {"to": 7}),
          ("Transpose", "x", "t", {"perm": [1, 0, 2, 3]}),
          ("ReverseSequence", "t,l", "y", {"time_axis": 0, "batch_axis": 1})],
         {"x": IMAGE}, {"a": ints(1, 2, 3), "c": np.float32(3)}),
    *(rows(f"Resize, {label}", [("Resize", "x,,s" if len(s) == len(shape) else "x,,,z", "y", more)], {"x": shape},
           {"s": np.float32(s)} if len(s) == len(shape) else {"z": ints(*s)})
      for label, shape, s, more in (
          ("linear", IMAGE, (1, 1, 2, 3), {"mode": "linear"}),
          ("linear, asymmetric", IMAGE, (1, 1, 1.5, 2.3),
           {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}),
          ("linear, pytorch", IMAGE, (1, 1, 0.2, 0.5),
           {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}),
          ("symmetric", IMAGE, (1, 1, 1.3, 0.7),
           {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"}),
          ("sizes of axes", IMAGE, (9, 4), {"mode": "linear", "axes": [2, 3]}),
          ("cubic", IMAGE, (1, 1, 2, 1.5), {"mode": "cubic"}),
          ("cubic, corners", IMAGE, (1, 1, 1.8, 1.4),
           {"mode": "cubic", "coordinate_transformation_mode": "align_corners"}),
          ("nearest, rounded", IMAGE, (1, 1, 1.4, 2), {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}),
          ("nearest, up", IMAGE, (1, 1, 0.6, 0.7),
           {"mode": "nearest", "nearest_mode": "ceil", "coordinate_transformation_mode": "asymmetric"}),
      )),
    *(rows(f"Gelu, {label}", [*nodes, ("Tanh", "out", "y")], {"x": ROWS},
           {"r": np.float32(2**0.5), "i": np.float32(0.5**0.5), "o": np.float32(1), "h": np.float32(0.5)})
      for label, nodes in GELUS.items()),
    *(rows(f"{kind}, {direction}", [("Transpose", "x", "t", {"perm": [1, 0, 2]}), (
        kind, f"t,w,r,b,,h{',c' if kind == 'LSTM' else ''}" if given else "t,w,r",
        f"y,last{',cell' if kind == 'LSTM' else ''}", {"hidden_size": 4, "direction": direction, **more})],
        {"x": ("N", 5, 3)}, weights_of(kind, 2 if direction == "bidirectional" else 1, given=given),
        outputs=("y", "last", "cell") if kind == "LSTM" else ("y", "last"))
      for kind, more in (("LSTM", {}), ("GRU", {"linear_before_reset": 1}), ("RNN", {}))
      for direction, given in (("forward", False), ("reverse", True), ("bidirectional", True))),
    rows("LSTM, a first state", [("Transpose", "x", "t", {"perm": [1, 0, 2]}),
         ("LSTM", "t,w,r,b,,h,c", "y,last,cell", {"hidden_size": 4, "direction": "bidirectional"})],
         {"x": (2, 5, 3), "h": (2, 2, 4)}, weights_of("LSTM", 2, rows=2, first="c")),
    rows("names that YAML does not like", [("Tanh", "x", "a.b:c"), ("Exp", "a.b:c", "y")], {"x": ROWS}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "shapes", "constants", "more"), [each[1:] for each in TABLE], ids=[each[0] for each in TABLE]
)
def test_operator(nodes, shapes, constants, more, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(nodes, shapes, constants, **more).SerializeToString())
    rng = np.random.default_rng(1)
    inputs = {
        name: rng.integers(0, 3, (2, 2))
        if nodes[0][0] == "Floor"
        else rng.uniform(-1, 1, [2 if n == "N" else n for n in shape])
        for name, shape in shapes.items()
    }
    wanted = Session(path.read_bytes()).run(inputs)
    compare(net_in(path).forward(**inputs), wanted)


def test_every_reader_is_tried():
    tried = {node[0] for each in TABLE for node in each[1]}
    assert set(operators.table()) <= tried
