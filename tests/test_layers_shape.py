"""The layers that arrange, choose and combine, and those that make arrays: what they refuse, and exact values."""

import numpy as np
import pytest
from pydantic import ValidationError

from layerkit.checks import Case, CheckFailed, check_untouched, prepare
from layerkit.errors import DataError, ShapeError
from layerkit.registry import layer_class

REFUSED = [
    ("Tile", {"tiles": 2}, [(3,)], 1, "axis", "axis 1 does not exist in a bottom of shape 3"),
    ("Reduction", {"axis": 2}, [(4, 5)], 1, "axis", "axis 2 does not exist"),
    ("Reduction", {}, [()], 1, "axis", "axis 0 does not exist in a bottom of shape scalar"),
    ("Reshape", {"shape": [3], "axis": 3}, [(2, 4)], 1, "axis", "axis 3 does not exist in a bottom of shape 2x4"),
    ("Reshape", {"shape": [3], "axis": -4}, [(2, 4)], 1, "axis", "axis -4 does not exist"),
    (
        "Reshape",
        {"shape": [3], "axis": 1, "num_axes": 2},
        [(2, 4)],
        1,
        "num_axes",
        "num_axes 2 from axis 1 on are more",
    ),
    ("Reshape", {"shape": [0, 0, 0]}, [(2, 4)], 1, "shape", r"shape \[0, 0, 0\] has a 0 where a bottom of 2x4 has no"),
    ("Reshape", {"shape": [3, -1]}, [(2, 4)], 1, "shape", r"shape \[3, -1\] does not fit the 8 values .* of 2x4"),
    (
        "Reshape",
        {"shape": [2, 5]},
        [(2, 4)],
        1,
        "shape",
        r"\[2, 5\] does not fit the 8 values along axes 0 to 1 of 2x4",
    ),
    ("Reshape", {"shape": [0], "axis": 1, "num_axes": 0}, [(2, 4)], 1, "shape", "does not fit the 1 value along"),
    ("Crop", {"axis": 4}, [(2, 3, 4, 5)] * 2, 1, "axis", "axis 4 does not exist"),
    ("Crop", {}, [(2, 3, 4, 5), (2, 3, 4)], 1, "bottom", "as many axes, but bottom 0 is 2x3x4x5 and bottom 1 is 2x3x4"),
    (
        "Crop",
        {"offset": [1, 2, 3]},
        [(2, 3, 4, 5)] * 2,
        1,
        "offset",
        "there must be one offset, or one an axis from axis 2 on: 2, not 3",
    ),
    (
        "Crop",
        {},
        [(2, 3, 4, 5), (2, 3, 5, 4)],
        1,
        "offset",
        "what is cut out, from 0 to 4, does not lie within axis 2 of bottom 0",
    ),
    ("Crop", {"offset": 2}, [(1, 1, 6, 5), (1, 1, 4, 4)], 1, "offset", "from 2 to 5, does not lie within axis 3"),
    ("BatchReindex", {}, [(), (2,)], 1, "bottom", "bottom 0 must have rows, but it is a scalar"),
    ("BatchReindex", {}, [(4, 3), (2, 1)], 1, "bottom", "bottom 1 must have one axis, a number for each row, not 2x1"),
    ("Filter", {}, [(4, 3), (4, 2), (4,)], 1, "top", "needs a top: there must be 2, not 1"),
    ("Filter", {}, [(4, 3), (4, 2)], 1, "bottom", "the selector must have one entry a row, but it is 4x2"),
    ("Filter", {}, [(4, 3), ()], 1, "bottom", "one entry a row, but it is scalar"),
    ("Filter", {}, [(4, 3), (5, 3), (4,)], 2, "bottom", "the selector has 4 rows, but bottom 1 is 5x3"),
    ("ArgMax", {}, [()], 1, "bottom", "without an axis the bottom must have samples, but it is a scalar"),
    ("ArgMax", {"axis": 2}, [(4, 5)], 1, "axis", "axis 2 does not exist"),
    ("ArgMax", {"top_k": 13}, [(4, 3, 4)], 1, "top_k", "top_k 13 is more than the 12 values in a sample of 4x3x4"),
    ("ArgMax", {"top_k": 4, "axis": 1}, [(5, 3)], 1, "top_k", "top_k 4 is more than the 3 values along axis 1 of 5x3"),
    ("Permute", {"order": [0, 4]}, [(2, 3)], 1, "order", "order 4 does not exist"),
    ("Reverse", {"axis": [0, -3]}, [(2, 3)], 1, "axis", "axis -3 does not exist"),
    ("Reverse", {}, [()], 1, "axis", "axis 0 does not exist"),
    ("Reverse", {"axis": 1}, [(4, 3, 2), (3,)], 1, "axis", "with a second bottom the axis is that of time"),
    ("Reverse", {}, [(4, 3, 2), (4,)], 1, "bottom", r"need lengths \(N,\) or \(T, N\) beside them, not 4 beside 4x3x2"),
    ("Reverse", {}, [(4,), ()], 1, "bottom", "not scalar beside 4"),
    ("ShuffleChannel", {"group": 4}, [(2, 6, 3)], 1, "group", "the 6 channels of 2x6x3 do not make 4 equal groups"),
    ("ShuffleChannel", {}, [(2,)], 1, "axis", "axis 1 does not exist"),
    ("Pad", {"pad": 1}, [(2, 3)], 1, "axis", "axis 2 does not exist"),
    (
        "Pad",
        {"pad": [1, 2, 3]},
        [(2, 3, 4, 5)],
        1,
        "pad",
        "one entry, or one an axis from axis 2 on: 2, not 3",
    ),
    ("Pad", {"pad": []}, [(2, 3, 4)], 1, "pad", "one an axis from axis 2 on: 1, not 0"),
    (
        "Pad",
        {"pad": 4, "mode": "REFLECT"},
        [(2, 3, 4)],
        1,
        "pad",
        "REFLECT needs more than 4 values along axis 2 of 2x3x4",
    ),
    ("Pad", {"pad": [[0, 1]], "mode": "EDGE"}, [(2, 3, 0)], 1, "pad", "EDGE needs a value along axis 2 of 2x3x0"),
    ("Axpy", {}, [(2, 3), (2, 3, 4), (2, 3, 5)], 1, "bottom", "bottoms 1 and 2 must have one shape.* 2x3x4 and 2x3x5"),
    (
        "Axpy",
        {},
        [(2, 4), (2, 3, 4), (2, 3, 4)],
        1,
        "bottom",
        "a number for each channel of bottom 1, 2x3x4, but it is 2x4",
    ),
    ("Axpy", {}, [(2, 3, 4), (2, 3, 4), (2, 3, 4)], 1, "bottom", "a number for each channel"),
    ("Axpy", {}, [(2,), (2,), (2,)], 1, "bottom", "a number for each channel"),
    ("Bias", {}, [(4,)], 1, "axis", "axis 1 does not exist"),
    ("Bias", {"num_axes": 2}, [(4, 3)], 1, "num_axes", "num_axes 2 from axis 1 on are more than 4x3 has"),
    ("Bias", {}, [(4, 3, 2), (2,)], 1, "bottom", "from axis 1 on, but bottom 0 is 4x3x2 and bottom 1 is 2"),
    ("Eltwise", {"broadcast": True}, [(4, 3), (2,)], 1, "bottom", "the shapes 4x3, 2 do not stretch to a common one"),
    ("DummyData", {"shape": [[2], [3]]}, [], 3, "shape", "it has 3 tops but 2 shapes: 2, 3"),
    (
        "DummyData",
        {"shape": [2], "data_filler": ["xavier"] * 2},
        [],
        3,
        "data_filler",
        "3 tops but 2 entries in data_fill",
    ),
    ("DummyData", {"num": [2, 3], "channels": 1, "height": 1, "width": 1}, [], 3, "num", "3 tops but 2 entries in num"),
    ("DummyData", {"shape": [], "data_filler": "xavier"}, [], 1, "data_filler", "needs at least one axis"),
]


@pytest.mark.parametrize(("name", "params", "bottoms", "tops", "field", "message"), REFUSED)
def test_plan_refuses(name, params, bottoms, tops, field, message):
    cls = layer_class(name)
    layer = cls(cls.Params.model_validate(params), num_tops=tops)
    with pytest.raises(ShapeError, match=message) as raised:
        layer.plan(*bottoms)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("Tile", {}, "tiles"),
        ("Tile", {"tiles": 0}, "greater than 0"),
        ("Reshape", {"shape": [-1, 2, -1]}, "-1 may stand only once"),
        ("Reshape", {"shape": [-2]}, "greater than or equal to -1"),
        ("Crop", {"offset": -1}, "greater than or equal to 0"),
        ("ArgMax", {"top_k": 0}, "greater than 0"),
        ("Permute", {"order": [0, 2, 0]}, r"axis 0 stands more than once in order \[0, 2, 0\]"),
        ("Permute", {"order": [-1]}, "greater than or equal to 0"),
        ("ShuffleChannel", {"group": 0}, "greater than 0"),
        ("Pad", {"pad": -1}, r"\[-1\] must be one or two numbers"),
        ("Pad", {"pad": [[1, 2, 3]]}, r"\[1, 2, 3\] must be one or two numbers"),
        ("Pad", {"pad": [[]]}, r"\[\] must be one or two numbers"),
        ("DummyData", {}, "give the shape of the tops"),
        ("DummyData", {"shape": [2], "num": 2}, "give shape or num, not both"),
        ("DummyData", {"num": 2, "height": 3, "width": 4}, "num needs channels too"),
        ("DummyData", {"shape": [-1]}, "greater than or equal to 0"),
        ("Parameter", {}, "shape"),
    ],
)
def test_parameters_refuse(name, params, message):
    with pytest.raises(ValidationError, match=message):
        layer_class(name).Params.model_validate(params)


def run(name, bottoms, dy=None, num_tops=1, **params):
    """Top 0, and with dy the diff of bottom 0."""
    bottoms = [np.array(each, float) for each in bottoms]
    lone = prepare(Case(name, "values", bottoms, params, num_tops=num_tops, no_formula="exact values"))
    y = lone.forward()["top 0"]
    if dy is None:
        return y.tolist()
    lone.top[0].diff[...] = dy
    return y.tolist(), lone.backward([0])["the diff of bottom 0"].tolist()


# -- exact values ------------------------------------------------------------------------------------------------


def test_arg_max_takes_the_last_of_equals_and_nan_before_any_number():
    assert run("ArgMax", [[[1, 3, 3, 2]]], top_k=3) == [[[2, 1, 3]]]
    assert run("ArgMax", [[[1, np.nan, 5]]], axis=1, top_k=2) == [[1, 2]]
    assert run("ArgMax", [[[0, -np.inf, np.inf]]], out_max_val=True, top_k=2) == [[[2, 0], [np.inf, 0]]]


def test_reduction_at_0_has_no_slope_and_the_mean_of_nothing_is_0():
    assert run("Reduction", [[-2, 0, 3]], 2, operation="ASUM") == (5, [-2, 0, 2])
    assert run("Reduction", [np.empty((2, 0))], operation="MEAN", axis=1) == [0, 0]


def test_reflect_leaves_out_the_edge_and_edge_repeats_it():
    dy = [1, 10, 100, 1000, 10000]
    assert run("Pad", [[5, 6, 7]], dy, pad=1, axis=0, mode="REFLECT") == ([6, 5, 6, 7, 6], [10, 10101, 1000])
    assert run("Pad", [[5, 6, 7]], dy, pad=1, axis=0, mode="EDGE") == ([5, 5, 6, 7, 7], [11, 100, 11000])
    assert run("Pad", [[5, 6, 7]], dy, pad=1, axis=0, value=-1) == ([-1, 5, 6, 7, -1], [10, 100, 1000])


def test_a_border_of_nan_does_not_reach_the_gradient():
    assert run("Pad", [[5, 6]], [np.nan, 1, 2, np.nan], pad=1, axis=0) == ([0, 5, 6, 0], [1, 2])


def test_max_ties_among_stretched_bottoms_go_as_in_caffe():
    y, dx = run("Eltwise", [[[2, 1]], [[2], [0]]], [[1, 10], [100, 1000]], operation="MAX", broadcast=True)
    assert y == [[2, 2], [2, 1]]
    assert dx == [[100, 1000]]  # at the first place both are 2, which is bottom 1's


def test_shapes_that_differ_need_broadcast():
    with pytest.raises(ShapeError, match="one shape, but bottom 0 is 2x3 and bottom 1 is 3"):
        run("Eltwise", [np.ones((2, 3)), np.ones(3)])


@pytest.mark.parametrize("value", [-1.0, 4.0, 0.5, np.nan, np.inf])
def test_batch_reindex_names_a_number_that_is_no_row(value):
    lone = prepare(Case("BatchReindex", "wrong", [(4, 3), np.array([0, 3, value])], no_formula="raises"))
    lone.top[0].data[...] = 7
    with pytest.raises(DataError, match=rf"^index {value:g} at position 2 is no row of bottom 0, which has 4$"):
        lone.layer.forward(lone.bottom, lone.top)
    assert (lone.top[0].data == 7).all()


def test_filter_keeps_what_is_not_exactly_0():
    selector = [0, -0.0, 1e-30, np.nan, -np.inf]
    assert run("Filter", [[1, 2, 3, 4, 5], selector]) == [3, 4, 5]


class WritesTopDiff(layer_class("Filter")):
    def forward(self, bottom, top):
        super().forward(bottom, top)
        top[0].diff[1] = 7


def test_the_checks_watch_the_diff_of_a_top_whose_shape_the_layer_decides():
    case = Case(WritesTopDiff, "broken", [(4, 3), np.array([1, 0, 1, 0])], no_formula="fails before")
    with pytest.raises(CheckFailed, match=r"forward changed the diff of top 0, .*: element \[1, 0\] was .* and is 7"):
        check_untouched(case)
