"""What Convolution, Pooling, the first losses and Accuracy say to wrong shapes and labels, and their odd corners."""

import ast
import math
import re
from pathlib import Path

import numpy as np
import pytest

from layerkit import layers
from layerkit.blob import Blob
from layerkit.checks import Case, CheckFailed, prepare
from layerkit.errors import DataError, LayerkitError, ShapeError
from layerkit.registry import layer_class

IMAGES = (2, 4, 5, 7)
CONV = {"num_output": 6, "kernel_size": 3}
LABELLED = ["SoftmaxWithLoss", "Accuracy"]


def lone(type_, *bottoms, dtype=np.float32, phase="train", num_tops=1, **params):
    """The prepared lone layer, after its forward pass."""
    case = Case(type_, "lone", bottoms, params, phase, num_tops, no_formula="asserted here")
    prepared = prepare(case, dtype)
    prepared.forward()
    return prepared


@pytest.mark.parametrize(
    ("type_", "shapes", "params", "field", "sentence"),
    [
        ("Convolution", [IMAGES], {"num_output": 6}, "kernel_size", "kernel_size is missing"),
        (
            "Convolution",
            [IMAGES],
            CONV | {"kernel_size": 8},
            "kernel_size",
            "covers 8x8 is larger than the padded input 5x7",
        ),
        (
            "Convolution",
            [IMAGES],
            CONV | {"dilation": 3},
            "kernel_size",
            "covers 7x7 is larger than the padded input 5x7",
        ),
        (
            "Convolution",
            [IMAGES],
            CONV | {"kernel_size": 8, "pad": 1},
            "kernel_size",
            "larger than the padded input 7x9",
        ),
        ("Convolution", [(2, 4, 0, 7)], CONV, "kernel_size", "larger than the padded input 0x7"),
        ("Convolution", [IMAGES], CONV | {"group": 3}, "group", "group 3 does not divide the 4 channels of 2x4x5x7"),
        ("Convolution", [IMAGES], CONV | {"group": 4}, "group", "group 4 does not divide num_output 6"),
        ("Convolution", [IMAGES], CONV | {"axis": 4}, "axis", "axis 4 does not exist in a bottom of shape 2x4x5x7"),
        ("Convolution", [IMAGES, (2, 4, 7, 5)], CONV, "bottom", "bottom 0 is 2x4x5x7 and bottom 1 is 2x4x7x5"),
        (
            "Convolution",
            [IMAGES],
            CONV | {"kernel_h": 3, "kernel_w": 2},
            "kernel_size",
            "give either kernel_size or kernel_h and kernel_w, not both",
        ),
        ("Convolution", [(2, 4, 5)], CONV | {"pad": [1, 2]}, "pad", "pad has 2 values for 1 spatial axis; give one"),
        ("Convolution", [IMAGES], CONV | {"stride": [1, 2, 3]}, "stride", "stride has 3 values for 2 spatial axes"),
        ("Convolution", [IMAGES], CONV | {"kernel_h": 3, "kernel_w": 3}, "kernel_size", "not both"),
        ("Convolution", [IMAGES], {"num_output": 6, "kernel_h": 3}, "kernel_h", "must be given together"),
        ("Convolution", [IMAGES], {"num_output": 6, "kernel_w": 3}, "kernel_w", "must be given together"),
        ("Convolution", [IMAGES], CONV | {"stride_h": 2}, "stride_h", "must be given together"),
        ("Convolution", [(2, 4, 9)], CONV | {"pad_h": 1, "pad_w": 2}, "pad_h", "for two spatial axes, not for 1"),
        ("Pooling", [(2, 4)], {"kernel_size": 2}, "bottom", r"needs a bottom \(N, C, spatial axes\), not 2x4"),
        ("Pooling", [IMAGES], {}, "kernel_size", "kernel_size is missing"),
        ("Pooling", [IMAGES], {"kernel_size": 6}, "kernel_size", "covers 6x6 is larger than the padded input 5x7"),
        ("Pooling", [IMAGES], {"kernel_size": 6, "stride": 2, "round_mode": "FLOOR"}, "kernel_size", "larger than"),
        ("Pooling", [(2, 4, 0, 7)], {"kernel_size": 1, "stride": 2}, "kernel_size", "larger than the padded input 0x7"),
        ("Pooling", [IMAGES], {"kernel_size": 2, "pad": 2}, "pad", "pad 2x2 must be smaller than the kernel 2x2"),
        ("Pooling", [IMAGES], {"kernel_size": 2, "pad": 1, "pool": "STOCHASTIC"}, "pad", "has no padding"),
        ("Pooling", [IMAGES], {"kernel_size": 2, "global_pooling": True}, "kernel_size", "do not give one"),
        ("Pooling", [IMAGES], {"kernel_w": 2, "global_pooling": True}, "kernel_size", "do not give one"),
        ("Pooling", [IMAGES], {"stride": 2, "global_pooling": True}, "global_pooling", "needs pad 0 and stride 1"),
        ("Pooling", [IMAGES], {"pad": 1, "global_pooling": True}, "global_pooling", "needs pad 0 and stride 1"),
        (
            "SoftmaxWithLoss",
            [(5, 4), (5, 4)],
            {},
            "bottom",
            "scores of shape 5x4 .* axis 1 need labels of shape 5, not 5x4",
        ),
        ("SoftmaxWithLoss", [(6, 4), (2, 3)], {}, "bottom", "need labels of shape 6, not 2x3"),
        ("SoftmaxWithLoss", [(2, 4, 5, 3), (2, 4)], {}, "bottom", "need labels of shape 2x5x3, not 2x4"),
        ("SoftmaxWithLoss", [(5, 4), (5,)], {"axis": 2}, "axis", "axis 2 does not exist in a bottom of shape 5x4"),
        ("SoftmaxWithLoss", [(5, 0), (5,)], {}, "axis", "5x0 have no classes on axis 1"),
        ("Accuracy", [(5, 4), (4,)], {}, "bottom", "need labels of shape 5, not 4"),
        ("Accuracy", [(5, 4), (5,)], {"top_k": 5}, "top_k", "top_k 5 is more than the 4 classes of 5x4"),
        ("SigmoidCrossEntropyLoss", [(5, 4), (5,)], {}, "bottom", "scores of shape 5x4 need as many targets, not 5"),
        (
            "SigmoidCrossEntropyLoss",
            [(5, 4), (4, 5)],
            {},
            "bottom",
            "of shape 5x4 need as many targets, not 4x5",
        ),
        ("EuclideanLoss", [(5, 4), (5, 3)], {}, "bottom", "they are 5x4 and 5x3"),
        ("EuclideanLoss", [(), ()], {}, "bottom", "they are scalar and scalar"),
    ],
)
def test_shapes_that_do_not_fit(type_, shapes, params, field, sentence):
    cls = layer_class(type_)
    layer = cls(cls.Params.model_validate(params), num_tops=len(shapes) if cls.same_number else 1)
    with pytest.raises(ShapeError, match=sentence) as caught:
        layer.plan(*shapes)
    assert caught.value.field == field


@pytest.mark.parametrize("pool", ["AVE", "STOCHASTIC"])
def test_only_max_pooling_has_a_second_top(pool):
    cls = layer_class("Pooling")
    layer = cls(cls.Params.model_validate({"pool": pool, "kernel_size": 2}), phase="test", num_tops=2)
    with pytest.raises(ShapeError, match=f"only MAX pooling has a second top .* not {pool}") as caught:
        layer.plan(IMAGES)
    assert caught.value.field == "pool"


@pytest.mark.parametrize("type_", LABELLED)
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (12, r"label 12 at position \(3,\) is outside 0\.\.9"),
        (-1, r"label -1 at position \(3,\) is outside 0\.\.9"),
        (1e30, r"label 1e\+30 at position \(3,\) is outside 0\.\.9"),
        (2.5, r"label 2\.5 at position \(3,\) is not a whole number"),
        (math.nan, r"label nan at position \(3,\) is not a whole number"),
        (math.inf, r"label inf at position \(3,\) is not a whole number"),
    ],
)
@pytest.mark.parametrize("ignore", [{}, {"ignore_label": 5}])
def test_labels_that_are_no_class(type_, value, sentence, ignore):
    labels = np.array([1, 9, 5, value, 99])
    with pytest.raises(CheckFailed) as caught:
        lone(type_, (5, 10), labels, **ignore)
    error = caught.value.__cause__
    assert isinstance(error, DataError)
    assert re.fullmatch(sentence, str(error))


@pytest.mark.parametrize("type_", LABELLED)
def test_a_wrong_label_stops_before_anything_is_written(type_):
    prepared = lone(type_, (2, 3, 4), np.zeros((2, 4)))
    prepared.bottom[1].data[1, 2] = 3
    prepared.top[0].data[...] = 7
    with pytest.raises(DataError, match=r"label 3 at position \(1, 2\) is outside 0\.\.2"):
        prepared.layer.forward(prepared.bottom, prepared.top)
    assert prepared.top[0].data == 7


def test_accuracy_has_no_gradient():
    prepared = lone("Accuracy", (5, 4), np.zeros(5), phase="test")
    assert prepared.requests == []
    with pytest.raises(LayerkitError, match="Accuracy has no backward pass"):
        prepared.layer.backward(prepared.top, [True, False], prepared.bottom)


def test_a_score_that_is_nan_is_never_right():
    scores = np.array([[math.nan, 0], [1, math.nan], [1, 0]])
    assert lone("Accuracy", scores, np.zeros(3)).top[0].data == np.float32(1 / 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_logarithm_is_clamped_and_nothing_overflows(dtype):
    prepared = lone("SoftmaxWithLoss", np.array([[-3e4, 3e4]]), np.zeros(1), dtype=dtype)
    assert prepared.top[0].data == pytest.approx(-math.log(np.finfo(dtype).tiny))
    prepared.top[0].diff[...] = 1
    (diff,) = prepared.backward([0]).values()
    np.testing.assert_array_equal(diff, [[-1, 1]])


def test_sigmoid_cross_entropy_does_not_overflow():
    prepared = lone("SigmoidCrossEntropyLoss", np.array([[-3e4, 3e4, 3e4]]), np.array([[0, 1, 0]]))
    assert prepared.top[0].data == 3e4


@pytest.mark.parametrize(
    ("type_", "bottoms"),
    [
        ("SoftmaxWithLoss", [(0, 4, 3), (0, 3)]),
        ("SigmoidCrossEntropyLoss", [(0, 4), (0, 4)]),
        ("EuclideanLoss", [(0, 4), (0, 4)]),
        ("Accuracy", [(0, 4), (0,)]),
    ],
)
def test_no_rows_give_zero(type_, bottoms):
    assert lone(type_, *bottoms).top[0].data == 0


def test_an_ignored_place_does_not_see_what_is_broken_there():
    scores = np.array([[1.0, 2.0], [math.nan, math.nan]])
    prepared = lone("SoftmaxWithLoss", scores, np.array([1, 255]), ignore_label=255)
    assert np.isfinite(prepared.top[0].data)
    (diff,) = prepared.backward([0]).values()
    np.testing.assert_array_equal(diff[1], 0)


def test_the_first_of_equal_maxima_has_the_gradient():
    prepared = lone("Pooling", np.full((1, 1, 2, 3), 5.0), kernel_size=2, stride=1, num_tops=2)
    np.testing.assert_array_equal(prepared.top[1].data, [[[[0, 1]]]])
    prepared.top[0].diff[...] = [[[[3, 7]]]]
    (diff,) = prepared.backward([0]).values()
    np.testing.assert_array_equal(diff, [[[[3, 7, 0], [0, 0, 0]]]])


def test_a_maximum_of_nan_shows():
    prepared = lone("Pooling", np.array([[[1, math.nan, 3, 2]]]), kernel_size=2, stride=2, num_tops=2)
    np.testing.assert_array_equal(prepared.top[0].data, [[[math.nan, 3]]])
    np.testing.assert_array_equal(prepared.top[1].data, [[[-1, 2]]])


class TestStochasticPooling:
    def test_draws_each_element_in_proportion(self):
        values = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
        prepared = lone("Pooling", np.tile(values, (100, 200, 1, 1)), pool="STOCHASTIC", kernel_size=2)
        drawn = prepared.top[0].data
        for value in (1, 2, 3, 4):
            share, n = value / 10, drawn.size
            assert np.mean(drawn == value) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))

    def test_every_forward_draws_anew(self):
        prepared = lone("Pooling", np.arange(1, 1001).reshape(2, 5, 100), pool="STOCHASTIC", kernel_size=4, stride=4)
        first = prepared.top[0].data.copy()
        prepared.layer.forward(prepared.bottom, prepared.top)
        assert (prepared.top[0].data != first).any()

    def test_the_gradient_goes_to_what_was_drawn(self):
        prepared = lone("Pooling", np.arange(1, 61).reshape(1, 3, 4, 5), pool="STOCHASTIC", kernel_size=2, stride=2)
        (diff,) = prepared.backward([0]).values()
        x, y, dy = prepared.bottom[0].data, prepared.top[0].data, prepared.top[0].diff
        for value, gradient in zip(y.ravel(), dy.ravel(), strict=True):
            assert diff[x == value] == gradient
        assert np.count_nonzero(diff) == y.size

    def test_zeros_are_never_drawn_beside_positive_values(self):
        values = np.array([0.0, 0.0, 1.0, 0.0]).reshape(1, 1, 4)
        prepared = lone("Pooling", np.tile(values, (50, 100, 1)), pool="STOCHASTIC", kernel_size=4)
        assert (prepared.top[0].data == 1).all()

    @pytest.mark.parametrize("phase", ["train", "test"])
    @pytest.mark.parametrize("value", [0.0, -1.0])
    def test_windows_of_nothing_and_of_negative_values_stay_finite(self, phase, value):
        prepared = lone("Pooling", np.full((2, 3, 4), value), pool="STOCHASTIC", kernel_size=2, phase=phase)
        (diff,) = prepared.backward([0]).values()
        assert np.isfinite(prepared.top[0].data).all()
        assert np.isfinite(diff).all()
        if phase == "test" and value == 0:
            assert not prepared.top[0].data.any()
            assert not diff.any()

    def test_its_expectation_is_what_a_test_computes(self):
        x = np.random.default_rng(3).random((1, 1, 6))
        many = lone("Pooling", np.tile(x, (400, 50, 1)), pool="STOCHASTIC", kernel_size=6)
        one = lone("Pooling", x, pool="STOCHASTIC", kernel_size=6, phase="test")
        assert many.top[0].data.mean() == pytest.approx(one.top[0].data.item(), abs=0.01)


def test_convolution_takes_any_channels_last_mixture():
    results = []
    for layouts in ((False, False), (True, False), (False, True)):
        prepared = prepare(Case("Convolution", "mixed", [IMAGES], CONV, no_formula="compared"), np.float64)
        below, above = (
            Blob(b.shape, np.float64, channels_last=last)
            for b, last in zip((*prepared.bottom, *prepared.top), layouts, strict=True)
        )
        below.data[...], above.diff[...] = prepared.bottom[0].data, prepared.top[0].diff
        prepared.layer.asked = frozenset(["weight", "bias"])
        prepared.layer.forward([below], [above])
        prepared.layer.backward([above], [True], [below])
        results.append([above.data, below.diff, *(w.diff for w in prepared.layer.weights)])
    for other in results[1:]:
        for got, want in zip(other, results[0], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_every_shape_error_of_a_layer_names_the_field_to_look_at():
    package = Path(layers.__file__).parent
    for path in [package.parent / "layer.py", *package.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ShapeError":
                assert len(node.args) >= 2, f"{path}:{node.lineno}"


def test_the_loss_of_a_perfect_sample_is_0_and_not_minus_0():
    prepared = lone("SoftmaxWithLoss", np.array([[1000.0, 0.0]]), np.array([0.0]))
    assert str(float(prepared.top[0].data)) == "0.0"
