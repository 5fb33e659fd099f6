"""Fillers: moments, Caffe's formulas, and what they refuse."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from layerkit.errors import ShapeError
from layerkit.fillers import FLOAT32_MAX, Filler

SHAPE = (60, 40, 3, 5)
FAN_IN, FAN_OUT = 40 * 15, 60 * 15
COUNT = math.prod(SHAPE)


def filled(shape=SHAPE, dtype=np.float64, **params):
    array = np.full(shape, np.nan, dtype)
    Filler(**params).fill(array, np.random.default_rng(0))
    assert np.isfinite(array).all()
    return array


def moments(array, mean, std):
    """Within four standard errors; a deviation is looser, as the fourth moment is not that of a normal everywhere."""
    assert array.mean() == pytest.approx(mean, abs=4 * std / math.sqrt(array.size))
    assert array.std() == pytest.approx(std, rel=4 / math.sqrt(array.size))


def test_constant():
    assert (filled(value=0.25) == 0.25).all()
    assert (filled() == 0).all()


def test_uniform():
    array = filled(type="uniform", min=-2, max=4)
    assert array.min() >= -2
    assert array.max() <= 4
    moments(array, 1, 6 / math.sqrt(12))


def test_gaussian():
    moments(filled(type="gaussian", mean=3, std=0.2), 3, 0.2)
    assert (filled(type="gaussian", mean=3, std=0) == 3).all()


@pytest.mark.parametrize("sparse", [0, 3, 20])
def test_sparse_gaussian_keeps_so_many_inputs_an_output(sparse):
    array = filled((60, 4000), type="gaussian", sparse=sparse)
    share = sparse / 60  # Caffe: the probability of a value is sparse / shape[0], the number of outputs
    kept = array != 0
    assert kept.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / array.size))
    if sparse:
        moments(array[kept], 0, 1)


@pytest.mark.parametrize(
    ("norm", "fan"), [("FAN_IN", FAN_IN), ("fan_out", FAN_OUT), ("AVERAGE", (FAN_IN + FAN_OUT) / 2)], ids=str
)
def test_xavier_and_msra(norm, fan):
    xavier = filled(type="xavier", variance_norm=norm)
    assert np.abs(xavier).max() == pytest.approx(math.sqrt(3 / fan), rel=1e-3)
    assert np.abs(xavier).max() <= math.sqrt(3 / fan)
    moments(xavier, 0, math.sqrt(1 / fan))
    moments(filled(type="msra", variance_norm=norm), 0, math.sqrt(2 / fan))


def test_fans_of_a_vector():
    bound = math.sqrt(3 / 1)  # one input an output: shape[0] outputs of count / shape[0]
    assert np.abs(filled((5000,), type="xavier")).max() == pytest.approx(bound, rel=1e-3)
    bound = math.sqrt(3 / 5000)
    assert np.abs(filled((5000,), type="xavier", variance_norm="FAN_OUT")).max() == pytest.approx(bound, rel=1e-3)


def test_positive_unitball():
    array = filled(type="positive_unitball")
    assert (array >= 0).all()
    np.testing.assert_allclose(array.reshape(60, -1).sum(1), 1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_bilinear_is_caffe_s_formula(size):
    array = filled((2, 3, size, size), type="bilinear")
    f = math.ceil(size / 2)
    c = (2 * f - 1 - f % 2) / (2 * f)
    for place in np.ndindex(array.shape):
        _, _, y, x = place
        assert array[place] == pytest.approx((1 - abs(x / f - c)) * (1 - abs(y / f - c)))


@pytest.mark.parametrize("kind", ["constant", "uniform", "gaussian", "xavier", "msra", "positive_unitball", "bilinear"])
def test_float32_and_strided_arrays(kind):
    plain = filled((4, 6, 3, 3), type=kind)
    single = filled((4, 6, 3, 3), np.float32, type=kind)
    np.testing.assert_array_equal(single, plain.astype(np.float32))
    strided = np.zeros((3, 3, 6, 4)).T
    Filler(type=kind).fill(strided, np.random.default_rng(0))
    np.testing.assert_array_equal(strided, plain.transpose(0, 1, 2, 3))


@pytest.mark.parametrize("kind", ["xavier", "msra"])
def test_a_scalar_has_no_fan(kind):
    with pytest.raises(ShapeError, match=f"a {kind} filler needs at least one axis"):
        filled((), type=kind)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4, 5), (4,)])
def test_bilinear_needs_a_square_kernel(shape):
    with pytest.raises(ShapeError, match="bilinear filler needs a square 4-axis weight"):
        filled(shape, type="bilinear")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"type": "zeros"}, "Input should be 'constant', 'uniform'"),
        ({"min": 2, "max": 1}, "min 2 is greater than max 1"),
        ({"type": "gaussian", "std": -1}, "std"),
        ({"type": "gaussian", "sparse": -2}, "sparse"),
        ({"value": math.nan}, "finite"),
        ({"valeu": 1}, "valeu"),
        ({"value": True}, "value"),
    ],
)
def test_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        Filler(**params)


@pytest.mark.parametrize(
    ("params", "shape"),
    [
        ({"type": "xavier"}, ()),
        ({"type": "msra"}, ()),
        ({"type": "gaussian", "sparse": 2}, ()),
        ({"type": "bilinear"}, (4, 3)),
        ({"type": "bilinear"}, (1, 1, 3, 4)),
    ],
)
def test_what_cannot_be_filled_is_known_before(params, shape):
    with pytest.raises(ShapeError, match=f"a {params['type']} filler needs "):
        Filler(**params).check(shape)


@pytest.mark.parametrize("kind", ["constant", "uniform", "gaussian"])
def test_the_largest_numbers_stay_finite_in_float32(kind):
    most, drawn = FLOAT32_MAX, FLOAT32_MAX / 100
    array = np.empty((50, 50), np.float32)
    filler = Filler(type=kind, value=-most, min=-most, max=most, mean=drawn, std=drawn)
    with np.errstate(all="raise"):
        filler.fill(array, np.random.default_rng(0))
    assert np.isfinite(array).all()
    for name in ("value", "min", "max", "mean", "std"):
        with pytest.raises(ValidationError, match=name):
            Filler(**{name: 1e39})
