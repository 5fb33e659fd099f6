"""ONNX models with graphs inside nodes, as nets with bodies: layerkit's own, and some made by hand."""

import numpy as np
import onnx
import pytest
from cases import CASES
from onnx_tools import Session, compare, model_of, net_of
from test_onnx_bodies import NETS, model_of_net
from test_onnx_export import predict_net
from test_onnx_import import net_in, types

from layerkit.convert.onnx import export, read
from layerkit.convert.onnx.package import OPSET
from layerkit.errors import ConfigError

CUT = "cuts the batch|counts the samples of a batch"
REFUSED = {"Recurrent-learned, reverse", "Recurrent-lengths", "Recurrent-both ways", "Recurrent-recomputed"}
"""Rows that count along their first axis, which a reader takes for that of samples."""
ROWS = [case for case in CASES if case.layer_type.__name__ in ("Recurrent", "Repeat", "Cond")]


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_what_was_written_comes_back(case, tmp_path):
    tree, weights, inputs = net_of(case)
    net = predict_net(tree, weights)
    export(net, tmp_path / "model.onnx")
    if str(case) in REFUSED:
        with pytest.raises(ConfigError, match=CUT):
            read(tmp_path / "model.onnx")
        return
    row_by_row = case.params.get("by") == "sample"  # both bodies for all rows, and a choice
    assert (case.layer_type.__name__ in types(read(tmp_path / "model.onnx")[0])) != row_by_row
    compare(net_in(tmp_path / "model.onnx").forward(**inputs), net.forward(**inputs))


@pytest.mark.parametrize("layers", NETS.values(), ids=NETS)
def test_a_net_comes_back_for_any_batch(layers, tmp_path):
    net, model, _, inputs = model_of_net(layers)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    back = net_in(tmp_path / "model.onnx")
    for given in (inputs, {name: np.concatenate([x, x[:1], x]) for name, x in inputs.items()}):
        compare(back.forward(**given), net.forward(**given))


# -- made by hand ---------------------------------------------------------------------------------------------------


def graph(nodes, given, made):
    """A graph inside a node: inputs and outputs are pairs of name and shape, a truth value's is None."""
    helper, kinds = onnx.helper, onnx.TensorProto

    def infos(pairs):
        return [
            helper.make_tensor_value_info(name, kinds.FLOAT, shape)
            if isinstance(shape, tuple)
            else helper.make_tensor_value_info(name, shape, [])
            for name, shape in pairs
        ]

    written = [
        helper.make_node(kind, i.split(","), o.split(","), name=f"in.{o}", **dict(*more)) for kind, i, o, *more in nodes
    ]
    return helper.make_graph(written, "inside", infos(given), infos(made))


INT, BOOL = onnx.TensorProto.INT64, onnx.TensorProto.BOOL
COUNTED = [("run", INT), ("on", BOOL), ("h", (3, 4))]
ON = [("off", BOOL), ("k", (3, 4))]
H = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def loop(nodes, times=5, on=True, given=COUNTED, made=ON, outputs="y", start="x", **more):
    body = graph(nodes, given, made)
    read = f"{'' if times is None else 'n'},{'' if on is None else 'c'},{start}"
    constants = {
        "n": np.array(times or 0),
        "c": np.array(bool(on)),
        "zeros": np.zeros((3, 4), "f"),
        "rows": H,
        "one": np.float32(1),
    }
    return model_of([("Loop", read, outputs, {"body": body})], {"x": (3, 4)}, constants, **more)


def scan(nodes, given, made, read="h,x", outputs="last,y", opset=OPSET, constants=None, **more):
    body = graph(nodes, given, made)
    attributes = {"body": body, "num_scan_inputs": 1, **more}
    constants = {"h": np.zeros((2, 4), "f"), "s": np.float32(0.0), **(constants or {})}
    return model_of(
        [("Scan", read, outputs, attributes)], {"x": (5, 2, 4)}, constants, outputs=outputs.split(","), opset=opset
    )


STEP = [("Add", "h,x_t", "k"), ("Tanh", "k", "out")]
GIVEN, MADE = [("h", (2, 4)), ("x_t", (2, 4))], [("k", (2, 4)), ("out", (2, 4))]
PASS = ("Identity", "on", "off")
READ = {
    "so often": loop([("Tanh", "h", "k"), PASS]),
    "without a condition": loop([("Tanh", "h", "k"), PASS], on=None),
    "what is outside": loop([("Mul", "h,x", "k"), PASS]),
    "rows that differ": loop([("Add", "h,x", "k"), PASS], start="rows"),
    "rows that do not": loop([("Add", "h,x", "k"), PASS], start="zeros"),
    "a state that nobody changes": loop([("Identity", "h", "k"), PASS]),
    "until": loop([("Add", "h,one", "k"), ("ReduceMin", "k", "m", {"keepdims": 0}), ("Less", "m,one", "off")], times=9),
    "steps": scan(STEP, GIVEN, MADE),
    "steps, back": scan(STEP, GIVEN, MADE, scan_input_directions=[1], scan_output_directions=[1]),
    "a start of numbers": scan(STEP, GIVEN, MADE, constants={"h": np.tile(H[:1], (2, 1))}),
}


@pytest.mark.parametrize("model", READ.values(), ids=READ)
def test_a_loop_answers_as_onnxruntime_does(model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    session = Session(model.SerializeToString())
    x = np.random.default_rng(2).uniform(-1, 1, session.inputs["x"]).astype(np.float32)
    compare(net_in(tmp_path / "model.onnx").forward(x=x), session.run({"x": x}))


SAME = ("Exp", "h", "k")
UNREADABLE = {
    "layerkit has no layer that does this": loop([("Det", "h", "d"), ("Add", "h,d", "k"), PASS]),
    "its body reads the number of the run": loop([("Cast", "run", "r", {"to": 1}), ("Add", "h,r", "k"), PASS]),
    "it stacks what each run gives": loop([SAME, PASS], made=[*ON, ("k", (3, 4))], outputs="y,all"),
    "it has no limit from 1 to 10000": loop([SAME, PASS], times=None),
    "of how often it runs": loop([SAME, PASS], times=1 << 40),
    "it never runs": loop([SAME, PASS], on=False),
    "it reads no blob": loop([SAME, PASS], start="zeros"),
    "through some of its inputs and outputs forward": scan(STEP, GIVEN, MADE, scan_input_directions=[1]),
    r"scan_input_axes are \[1\]": scan(
        STEP, [("h", (2, 4)), ("x_t", (5, 4))], MADE, scan_input_axes=[1], constants={"h": np.zeros((5, 4), "f")}
    ),
    "its state 'h' is a single number": scan(STEP, [("h", ()), GIVEN[1]], MADE, read="s,x"),
    "has no axis of sequences": scan(
        [("Add", "h,x_t", "k"), ("Tanh", "k", "out")], [("h", (2, 4)), ("x_t", ())], MADE, read="h,c",
        constants={"c": np.zeros(5, "f")},
    ),
    "before version 9": scan(STEP, GIVEN, MADE, read=",h,x", opset=8),
}  # fmt: skip


@pytest.mark.parametrize(("reason", "model"), UNREADABLE.items(), ids=UNREADABLE)
def test_what_has_no_layer_is_named(reason, model, tmp_path):
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match=reason):
        read(tmp_path / "model.onnx")
