"""What the plans of most layers refuse, in which words; and a few exact values."""

import numpy as np
import pytest
from pydantic import ValidationError

from layerkit.checks import Case, prepare
from layerkit.errors import ShapeError
from layerkit.registry import layer_class

REFUSED = [
    ("Softmax", {}, [(3,)], 1, "axis", "axis 1 does not exist in a bottom of shape 3"),
    (
        "InnerProduct",
        {"num_output": 2, "axis": 3},
        [(4, 5)],
        1,
        "axis",
        "axis 3 does not exist in a bottom of shape 4x5",
    ),
    ("Concat", {"axis": 2}, [(4, 5)], 1, "axis", "axis 2 does not exist"),
    ("Concat", {"concat_dim": 2}, [(4, 5)], 1, "concat_dim", "concat_dim 2 does not exist"),
    (
        "Concat",
        {},
        [(2, 3, 4), (2, 5, 6)],
        1,
        "bottom",
        "axis 1, but bottom 0 is 2x3x4 and bottom 1 is 2x5x6",
    ),
    ("Concat", {}, [(2, 3, 4), (2, 3)], 1, "bottom", "bottom 0 is 2x3x4 and bottom 1 is 2x3"),
    ("Slice", {"axis": -3}, [(4, 5)], 2, "axis", "axis -3 does not exist"),
    ("Slice", {"slice_dim": 4}, [(4, 5)], 2, "slice_dim", "slice_dim 4 does not exist"),
    ("Slice", {}, [(4, 5)], 2, "axis", "axis 1 of 4x5 does not come out even in 2 tops"),
    ("Slice", {"slice_point": [1, 2]}, [(4, 5)], 2, "slice_point", "less than there are tops: 1, not 2"),
    (
        "Slice",
        {"slice_point": [3, 2]},
        [(4, 5)],
        3,
        "slice_point",
        r"slice_point \[3, 2\] must rise and lie within axis 1",
    ),
    ("Slice", {"slice_point": [5]}, [(4, 5)], 2, "slice_point", "axis 1 of 4x5, which has 5 elements"),
    ("Slice", {"slice_point": [0]}, [(4, 5)], 2, "slice_point", "must rise"),
    ("Eltwise", {}, [(2, 3), (3, 2)], 1, "bottom", "one shape, but bottom 0 is 2x3 and bottom 1 is 3x2"),
    ("Eltwise", {"coeff": [1]}, [(2, 3)] * 2, 1, "coeff", "there must be one coeff a bottom: 2, not 1"),
    ("Eltwise", {"coeff": [1, 2], "operation": "MAX"}, [(2, 3)] * 2, 1, "coeff", "coeff is for operation SUM, not MAX"),
    ("Flatten", {"axis": 4}, [(2, 3)], 1, "axis", "axis 4 does not exist"),
    ("Flatten", {"end_axis": 2}, [(2, 3)], 1, "end_axis", "end_axis 2 does not exist"),
    ("Flatten", {"axis": 3, "end_axis": 1}, [(2, 3, 4, 5)], 1, "end_axis", "end_axis 1 lies before axis 3 of 4 axes"),
    ("LRN", {}, [(4,)], 1, "bottom", r"ACROSS_CHANNELS needs a bottom \(N, C, \.\.\.\), not 4"),
    (
        "LRN",
        {"norm_region": "WITHIN_CHANNEL"},
        [(4, 5)],
        1,
        "bottom",
        r"needs a bottom \(N, C, spatial axes\), not 4x5",
    ),
    ("BatchNorm", {}, [()], 1, "bottom", "at least one axis"),
    ("Scale", {}, [(3,)], 1, "axis", "axis 1 does not exist in a bottom of shape 3"),
    ("Scale", {"num_axes": 3}, [(2, 3, 4)], 1, "num_axes", "num_axes 3 from axis 1 on are more than 2x3x4 has"),
    ("Scale", {"axis": 2}, [(2, 3), (3,)], 1, "axis", "axis 2 does not exist"),
    ("Scale", {}, [(2, 3, 4), (4,)], 1, "bottom", "from axis 1 on, but bottom 0 is 2x3x4 and bottom 1 is 4"),
    ("Scale", {}, [(2, 3, 4), (3, 4, 5)], 1, "bottom", "bottom 0 is 2x3x4 and bottom 1 is 3x4x5"),
    ("Input", {"shape": [[8, 5], [8]]}, [], 3, "shape", "it has 3 tops but 2 shapes: 8x5, 8"),
]


@pytest.mark.parametrize(("name", "params", "bottoms", "tops", "field", "message"), REFUSED)
def test_plan_refuses(name, params, bottoms, tops, field, message):
    cls = layer_class(name)
    layer = cls(cls.Params.model_validate(params), num_tops=tops)
    with pytest.raises(ShapeError, match=message) as caught:
        layer.plan(*bottoms)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Concat", {"axis": 1, "concat_dim": 1}, "axis or concat_dim, not both"),
        ("Slice", {"axis": 1, "slice_dim": 1}, "axis or slice_dim, not both"),
        ("Concat", {"concat_dim": -1}, "greater than or equal to 0"),
        ("Dropout", {"dropout_ratio": 1}, "less than 1"),
        ("InnerProduct", {"num_output": 0}, "greater than 0"),
        ("InnerProduct", {}, "required"),
        ("Input", {"shape": [-1, 2]}, "greater than or equal to 0"),
        ("Eltwise", {"operation": "MEAN"}, "'PROD', 'SUM' or 'MAX'"),
        ("LRN", {"local_size": 4}, "local_size must be odd, so that a window has a middle, not 4"),
        ("LRN", {"local_size": -1}, "greater than 0"),
        ("LRN", {"norm_region": "AROUND"}, "'ACROSS_CHANNELS' or 'WITHIN_CHANNEL'"),
        ("BatchNorm", {"moving_average_fraction": 1.5}, "less than or equal to 1"),
        ("BatchNorm", {"eps": -1}, "greater than or equal to 0"),
        ("Scale", {"num_axes": -2}, "greater than or equal to -1"),
    ],
)
def test_parameters_refuse(name, params, message):
    with pytest.raises(ValidationError, match=message):
        layer_class(name).Params.model_validate(params)


def run(name, bottoms, params, dy):
    lone = prepare(Case(name, "values", [np.array(x) for x in bottoms], params, no_formula="compared with values"))
    y = lone.forward()["top 0"]
    lone.top[0].diff[...] = dy
    return y.tolist(), [diff.tolist() for diff in lone.backward(lone.requests).values()]


def test_eltwise_max_ties_go_as_in_caffe():
    y, diffs = run("Eltwise", [[2.0, 3.0, 1.0], [2.0, 1.0, 5.0], [2.0, 3.0, 5.0]], {"operation": "MAX"}, [7, 8, 9])
    assert y == [2, 3, 5]
    assert diffs == [[0, 8, 0], [7, 0, 9], [0, 0, 0]]


def test_relu_has_no_slope_at_zero_but_the_negative_one():
    assert run("ReLU", [[0.0, -1.0]], {}, [1, 1]) == ([0, 0], [[0, 0]])
    assert run("ReLU", [[0.0, -1.0]], {"negative_slope": 0.5}, [1, 1]) == ([0, -0.5], [[0.5, 0.5]])
    assert run("ReLU", [[0.0, -1.0]], {"negative_slope": -0.5}, [1, 1]) == ([0, 0.5], [[-0.5, -0.5]])


def test_relu6_has_no_slope_at_0_and_at_6():
    assert run("ReLU6", [[-1.0, 0.0, 3.0, 6.0, 7.0]], {}, [1] * 5) == ([0, 0, 3, 6, 6], [[0, 0, 1, 0, 0]])


def test_scale_starts_as_1_and_0_unless_a_filler_says_otherwise():
    for params, fills in (({}, [1, 0]), ({"filler": "constant"}, [0, 0]), ({"bias_filler": {"value": 2}}, [1, 2])):
        layer = layer_class("Scale")(layer_class("Scale").Params.model_validate({"bias_term": True, **params}))
        weights = layer.plan((2, 3)).weights
        assert [(weight.name, weight.filler.type) for weight in weights] == [
            ("scale", "constant"),
            ("bias", "constant"),
        ]
        assert [weight.filler.value for weight in weights] == fills


def test_power_at_zero_has_the_formula_s_gradient():
    assert run("Power", [[0.0, 2.0]], {"power": 3}, [1, 1]) == ([0, 8], [[0, 12]])


def test_sigmoid_and_softmax_do_not_overflow():
    assert run("Sigmoid", [[-1e4, 0.0, 1e4]], {}, [1, 1, 1]) == ([0, 0.5, 1], [[0, 0.25, 0]])
    assert run("Softmax", [[[1e4, -1e4]]], {}, [[1, 1]]) == ([[1, 0]], [[[0, 0]]])
