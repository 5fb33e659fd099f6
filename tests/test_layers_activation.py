"""What the activations refuse, and what they give at kinks, at extreme values, for NaN, and of the error function."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from layerkit.checks import Case, prepare
from layerkit.errors import ShapeError
from layerkit.layers.activation.erf import erf
from layerkit.registry import layer_class

EXTREME = [-1e4, -100.0, -50.0, 50.0, 100.0, 1e4]


def run(type_, x, dtype=np.float64, dy=None, **params):
    """(y, dx) of a lone layer for these values; the diff that comes in is 1 unless told otherwise."""
    case = Case(type_, "lone", [np.array(x)], params, no_formula="asserted here")
    with prepare(case, dtype) as lone:
        y = lone.forward()["top 0"]
        lone.top[0].diff[...] = 1 if dy is None else dy
        return y, lone.backward(lone.requests)["the diff of bottom 0"] if lone.requests else None


@pytest.mark.parametrize(
    ("type_", "params", "sentence"),
    [
        ("Clip", {"min": 2, "max": 1}, "min 2 is greater than max 1"),
        ("Clip", {"min": 2}, "Field required"),
        ("Exp", {"base": 0}, "base must be positive, or -1 for e, not 0"),
        ("Exp", {"base": -2}, "base must be positive, or -1 for e, not -2"),
        ("Log", {"base": -0.5}, "base must be positive, or -1 for e, not -0.5"),
        ("Log", {"base": 1}, "base must not be 1"),
        ("Softplus", {"beta": 0}, "greater than 0"),
        ("GELU", {"approximate": "erf"}, "'NONE' or 'TANH'"),
    ],
)
def test_parameters_that_are_refused(type_, params, sentence):
    with pytest.raises(ValidationError, match=sentence):
        layer_class(type_).Params.model_validate(params)


@pytest.mark.parametrize("shape", [(), (5,)])
def test_prelu_needs_channels(shape):
    layer = layer_class("PReLU")
    with pytest.raises(ShapeError, match=r"PReLU needs a bottom \(N, C, \.\.\.\)"):
        layer(layer.Params()).plan(shape)


# -- at kinks, as Caffe has it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "params", "x", "y", "dx"),
    [
        ("AbsVal", {}, [0.0, -0.0], [0, 0], [0, 0]),
        ("Clip", {"min": -1, "max": 2}, [-1.5, -1, 0, 2, 2.5], [-1, -1, 0, 2, 2], [0, 1, 1, 1, 0]),
        ("ELU", {"alpha": 0.3}, [0.0], [0], [0.3]),
        ("ELU", {"alpha": -0.3}, [0.0], [0], [-0.3]),
        ("HardSwish", {}, [-3, 0, 3], [0, 0, 3], [0, 0.5, 1]),
        ("Softplus", {"beta": 2, "threshold": 3}, [1.5], [math.log1p(math.exp(3)) / 2], [1 / (1 + math.exp(-3))]),
    ],
)
def test_at_a_kink(type_, params, x, y, dx):
    got_y, got_dx = run(type_, x, **params)
    np.testing.assert_allclose(got_y, y, rtol=1e-15)
    np.testing.assert_allclose(got_dx, dx, rtol=1e-15)


def test_threshold_is_not_exceeded_by_itself():
    y, _ = run("Threshold", [0.5, np.nextafter(np.float32(0.5), np.float32(1)), -1], threshold=0.5)
    np.testing.assert_array_equal(y, [0, 1, 0])


def test_prelu_at_0_takes_the_slope_and_teaches_it_nothing():
    case = Case(
        "PReLU", "zero", [np.array([[0.0, -2, 3]])], weights={"slope": np.array([0.5, 0.25, 4])}, no_formula="here"
    )
    with prepare(case) as lone:
        np.testing.assert_array_equal(lone.forward()["top 0"], [[0, -0.5, 3]])
        lone.top[0].diff[...] = [[7, 10, 100]]
        got = lone.backward([0, "slope"])
    np.testing.assert_array_equal(got["the diff of bottom 0"], [[3.5, 2.5, 100]])
    np.testing.assert_array_equal(got["the diff of weight 'slope'"], [0, -20, 0])


# -- extreme values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("type_", "params", "left"),
    [
        ("BNLL", {}, 0),
        ("ELU", {}, -1),
        ("ELU", {"alpha": 0.2}, -0.2),
        ("GELU", {}, 0),
        ("GELU", {"approximate": "TANH"}, 0),
        ("HardSwish", {}, 0),
        ("Softplus", {}, 0),
        ("Softplus", {"beta": 3}, 0),
        ("Swish", {}, 0),
    ],
)
def test_far_out_a_rectifier_is_flat_or_the_identity(type_, params, left, dtype):
    y, dx = run(type_, EXTREME, dtype, **params)
    np.testing.assert_allclose(y, [left] * 3 + EXTREME[3:], atol=1e-15, rtol=1e-6)
    np.testing.assert_allclose(dx, [0] * 3 + [1] * 3, atol=1e-7 if dtype is np.float32 else 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_values_keep_their_digits(dtype):
    small = [-30.0, -40.0, -60.0]
    for type_ in ("BNLL", "Softplus"):  # log(1 + t) is t
        y, dx = run(type_, small, dtype)
        np.testing.assert_allclose(y, np.exp(small), rtol=1e-6)
    _, dx = run("BNLL", small, dtype)
    np.testing.assert_allclose(dx, np.exp(small), rtol=1e-6)
    y, _ = run("ELU", [-1e-9, -1e-12], dtype)  # exp(t) - 1 is t
    np.testing.assert_allclose(y, [-1e-9, -1e-12], rtol=1e-6)


def test_exp_overflows_only_where_its_result_does():
    y, dx = run("Exp", [-1e4], base=2, shift=1e4)  # 2^10000 alone would overflow
    np.testing.assert_allclose([y, dx], [[1], [math.log(2)]])
    y, dx = run("Exp", [-1e4])
    np.testing.assert_array_equal([y, dx], [[0], [0]])


def test_log_of_what_has_none():
    with np.errstate(divide="ignore", invalid="ignore"):
        y, dx = run("Log", [0.0, -1.0, 1e4])
    np.testing.assert_array_equal(y, [-np.inf, np.nan, math.log(1e4)])
    np.testing.assert_array_equal(dx, [np.inf, -1, 1e-4])


@pytest.mark.parametrize("type_", ["AbsVal", "BNLL", "ELU", "Exp", "GELU", "HardSwish", "Log", "Softplus", "Swish"])
def test_nan_does_not_vanish(type_):
    with np.errstate(invalid="ignore"):  # logaddexp says so
        y, dx = run(type_, [np.nan, 1.0])
    np.testing.assert_array_equal(np.isnan(y), [True, False])
    assert not np.isnan(dx[1])


# -- the error function --------------------------------------------------------------------------------------------

POINTS = np.concatenate(
    [np.linspace(-7, 7, 5001), np.logspace(-300, 0, 301), [0.0, -0.0, 1 / 32, -1 / 32, 1e4, -1e4, np.inf, -np.inf]]
)


def test_erf_is_pythons_to_the_last_bits():
    want = np.array([math.erf(point) for point in POINTS])
    got = erf(POINTS.copy())
    assert np.max(np.abs(got - want)) < 3e-16
    np.testing.assert_allclose(got, want, rtol=1e-15)
    single = POINTS.astype(np.float32)
    np.testing.assert_allclose(
        erf(single.copy()), np.float32([math.erf(point) for point in single]), rtol=2e-7, atol=1e-45
    )


def test_erf_of_any_array():
    x = np.linspace(-2, 2, 3 * 5 * 7 * 60).reshape(3, 5, 7, 60)
    want = np.vectorize(math.erf)(x)
    for values in (x.copy(), np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1), np.asfortranarray(x)):
        assert erf(values) is values
        np.testing.assert_allclose(values, want, rtol=1e-15)
    assert erf(np.zeros((0, 3))).shape == (0, 3)
    assert erf(np.array(0.5)) == math.erf(0.5)
    assert np.isnan(erf(np.array([np.nan]))[0])
