"""What Dropout draws."""

import numpy as np
import pytest

from layerkit.checks import Case, prepare


def dropped(seed=0, dtype=np.float64, **params):
    case = Case("Dropout", "drawn", [(100, 200)], params, no_formula="drawn", span=(1.0, 2.0))
    lone = prepare(case, dtype, seed)
    y = lone.forward()["top 0"]
    return lone.bottom[0].data, y, lone


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_share_and_values_of_what_is_kept(ratio):
    x, y, _ = dropped(dropout_ratio=ratio)
    kept = y != 0
    assert kept.mean() == pytest.approx(1 - ratio, abs=4 * np.sqrt(ratio * (1 - ratio) / x.size))
    np.testing.assert_allclose(y[kept], x[kept] / (1 - ratio))


def test_unscaled():
    x, y, _ = dropped(dropout_ratio=0.3, scale_train=False)
    np.testing.assert_array_equal(y[y != 0], x[y != 0])


def test_each_pass_draws_anew_and_backward_keeps_the_last():
    _, first, lone = dropped()
    lone.layer.forward(lone.bottom, lone.top)
    second = lone.top[0].data
    assert not np.array_equal(first != 0, second != 0)
    lone.layer.backward(lone.top, [True], lone.bottom)
    np.testing.assert_array_equal(lone.bottom[0].diff != 0, second != 0)


def test_float32_and_float64_drop_the_same():
    _, double, _ = dropped()
    _, single, _ = dropped(dtype=np.float32)
    np.testing.assert_array_equal(double != 0, single != 0)
