"""The checks catch layers that break their contract, and let the right ones through."""

from dataclasses import replace

import numpy as np
import pytest
from broken_layers import (
    BROKEN,
    Halve,
    LiesInBackward,
    LiesInForward,
    MeanOfRows,
    Right,
    case_of,
    formula,
    halves,
)

from layerkit import checks
from layerkit.checks import CHECKS, Case, CheckFailed, check_layer, prepare
from layerkit.errors import UsageError


def check_named(name):
    return getattr(checks, f"check_{name}")


@pytest.mark.parametrize("shape", [(2, 3), (4, 3, 2), (2, 3, 4, 5), (2, 3, 4, 5, 6)], ids=str)
def test_right_layer_passes(shape):
    check_layer(case_of(Right, shape))


@pytest.mark.parametrize(("cls", "check", "message"), BROKEN, ids=[row[0].__name__ for row in BROKEN])
def test_broken_layer_is_caught(cls, check, message):
    with pytest.raises(CheckFailed, match=message) as caught:
        check_named(check)(case_of(cls))
    assert str(caught.value).startswith(f"{cls.__name__}-broken: ")
    with pytest.raises(AssertionError):
        check_layer(case_of(cls))


@pytest.mark.parametrize(
    ("cls", "message"), [(LiesInForward, "forward in place: top 0"), (LiesInBackward, "backward in place: the diff")]
)
def test_in_place_lie_is_caught(cls, message):
    check_layer(halves(Halve))
    with pytest.raises(CheckFailed, match=message):
        checks.check_in_place(halves(cls))
    for check in set(CHECKS) - {checks.check_in_place}:
        check(halves(cls))


def test_a_layer_that_looks_at_other_rows_is_caught():
    class Centred(Halve):
        def plan(self, *bottoms):
            return replace(super().plan(*bottoms), by_rows=True)

        def forward(self, bottom, top):
            top[0].data[...] = bottom[0].data - bottom[0].data[:1]

    case = Case(Centred, "broken", [(2, 3)], no_formula="only its rows are looked at")
    with pytest.raises(CheckFailed, match=r"of two batches as one: top 0"):
        checks.check_by_rows(case)


def test_nan_for_zero_rows_is_caught():
    case = Case(MeanOfRows, "broken", [(2, 3)], formula=lambda b, w, p: [b[0].sum() / 2])
    with pytest.raises(CheckFailed, match=r"with zero rows: top 0: element .* is nan"):
        checks.check_zero_rows(case)


def test_gradient_along_directions_catches_what_single_elements_miss():
    class OneWrong(Halve):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)
            bottom[0].diff[tried] += 1

    rng = np.random.default_rng(1)
    shape = (20, 30)
    chosen = set(rng.choice(600, checks.layers.ELEMENTS, replace=False).tolist())
    tried = np.unravel_index(next(i for i in range(600) if i not in chosen), shape)
    with pytest.raises(CheckFailed, match="bottom 0 along a random direction"):
        checks.check_gradient(Case(OneWrong, "broken", [shape], formula=lambda b, w, p: [b[0] / 2]))


def test_a_case_without_formula_says_why():
    with pytest.raises(UsageError, match="ReLU-bare has no formula"):
        Case("ReLU", "bare", [(2, 3)])


@pytest.mark.parametrize(
    ("bottoms", "tops", "message"), [(2, 1, "2 bottoms; the layer takes 1 to 1"), (1, 2, "2 tops")]
)
def test_a_case_has_the_numbers_the_layer_takes(bottoms, tops, message):
    with pytest.raises(UsageError, match=message):
        prepare(Case("ReLU", "many", [(2, 3)] * bottoms, num_tops=tops, no_formula="not run"))


def test_values_are_the_same_in_every_dtype_and_layout_and_all_different():
    case = case_of(Right)
    plain, single, last = prepare(case), prepare(case, np.float32), prepare(case, channels_last=True)
    for label, array in plain.arrays().items():
        np.testing.assert_array_equal(array, single.arrays()[label])
        np.testing.assert_array_equal(array, last.arrays()[label])
    values = np.concatenate([blob.data.ravel() for blob in plain.bottom])
    assert np.unique(values).size == values.size
    assert np.abs(values).min() > 1e-4
    assert not np.array_equal(values[:120], prepare(case, seed=1).bottom[0].data.ravel())
    assert not last.bottom[0].data.flags.c_contiguous


def test_given_values_are_used():
    case = Case(
        Right,
        "given",
        [lambda rng: np.arange(6).reshape(2, 3), np.ones((2, 3))],
        weights={"w": np.array([4, 5, 6])},
        formula=formula,
    )
    lone = prepare(case)
    assert lone.bottom[0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert lone.layer.weights.w.data.tolist() == [4, 5, 6]
    check_layer(case)
