"""Every layer's every case as an ONNX model: checked by onnx, run by onnxruntime, and compared with layerkit."""

import numpy as np
import pytest
from cases import CASES
from onnx_tools import Session, compare_answers, net_of
from test_layers import NO_CASES, TYPES

import layerkit as lk
from layerkit.convert.onnx.exporting import build, check
from layerkit.convert.onnx.rules import REASONS, table
from layerkit.errors import ConfigError

DRAWN = "it draws its values at random"
ROWS = {
    "DetectionOutput-adaptive": "ONNX's NonMaxSuppression has one threshold, and eta changes it for every box",
    **dict.fromkeys(("DummyData-noise", "DummyData-xavier", "DummyData-mixed"), DRAWN),
}
"""Rows that cannot be expressed though other rows of their type can, and why."""


def reason(case):
    return ROWS.get(str(case)) or REASONS.get(case.layer_type.__name__)


EXPRESSIBLE = [case for case in CASES if reason(case) is None]


def predict_net(tree, weights):
    net = lk.Net(tree, "predict", engine="numpy")
    net.load_weights(weights)
    return net


def twice(inputs, shapes):
    """Batches of twice the size, of the inputs whose axis 0 may have another length."""
    grows = {name for name, shape in shapes.items() if shape and isinstance(shape[0], str)}
    return {name: np.concatenate([x, x[::-1]]) if name in grows else x for name, x in inputs.items()}


@pytest.mark.parametrize("case", EXPRESSIBLE, ids=str)
def test_case(case):
    tree, weights, inputs = net_of(case)
    net = predict_net(tree, weights)
    model, _ = build(net)
    check(model.SerializeToString())
    session = Session(model.SerializeToString())
    compare_answers(net, session, inputs)
    if inputs:
        compare_answers(net, session, twice(inputs, session.inputs))


@pytest.mark.parametrize("case", [case for case in CASES if reason(case) is not None], ids=str)
def test_what_cannot_be_expressed_is_named_with_the_reason(case):
    tree, weights, _ = net_of(case)
    with pytest.raises(ConfigError) as caught:
        build(predict_net(tree, weights))
    (problem,) = caught.value.problems
    assert "layer 'layer'" in str(problem)
    assert f"ONNX cannot express it: {reason(case)}" in str(problem)


def test_every_type_has_a_rule_or_a_reason():
    assert {*table(), *REASONS} == set(TYPES)
    assert not table().keys() & REASONS.keys()


def test_every_rule_is_tried_and_every_reason_is_of_some_row():
    assert set(table()) == {case.layer_type.__name__ for case in EXPRESSIBLE} | (NO_CASES.keys() - REASONS.keys())
    assert ROWS.keys() <= {str(case) for case in CASES}


@pytest.mark.parametrize(
    ("expr", "size", "note"),
    [
        ("reshape(x, (0, 2, -1)) - max(x, axis=(0, 1))", 4, None),
        ("reshape(x, -1) * sum(softmax(x, axis=(0, 1)))", 4, None),
        ("x - mean(x, axis=0)", 4, "its formula counts the samples of a batch"),
        ("x - mean(x, axis=0)", 1, "its formula fits one size of batch"),
    ],
)
def test_a_formula_holds_for_every_batch_if_it_can(expr, size, note):
    layers = [{"name": "x", "type": "Input", "shape": [size, 6]}, {"name": "y", "type": "Expression", "expr": expr}]
    net = lk.Net({"layers": layers}, "predict", engine="numpy")
    model, notes = build(net)
    session = Session(model.SerializeToString())
    compare_answers(net, session, {"x": np.random.default_rng(0).normal(size=(size, 6)).astype(np.float32)})
    assert session.inputs["x"][0] == (size if note else "N")
    assert [note in each for each in notes] == ([True] if note else [])
