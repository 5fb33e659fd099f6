"""Blob and Weights."""

import numpy as np
import pytest

from layerkit.blob import Alias, Blob, Weights, shape_text
from layerkit.errors import ShapeError, UnknownNameError


def test_starts_at_zero_in_float32():
    blob = Blob((2, 3))
    assert (blob.shape, blob.dtype, blob.count) == ((2, 3), np.float32, 6)
    assert not blob.data.any()
    assert repr(blob) == "Blob(2x3, float32)"


def test_diff_is_made_when_asked_for():
    blob = Blob((2, 3), np.float64)
    assert not blob.has_diff
    diff = blob.diff
    assert blob.has_diff
    assert (diff.shape, diff.dtype) == ((2, 3), np.float64)
    assert not diff.any()
    diff[0, 1] = 5
    assert blob.diff[0, 1] == 5
    assert not blob.data.any()


def test_data_is_a_live_view_and_cannot_be_rebound():
    blob = Blob((2,))
    blob.data[...] = [1, 2]
    assert blob.data.tolist() == [1, 2]
    with pytest.raises(AttributeError):
        blob.data = np.zeros(2)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4, 5, 6)])
def test_channels_last_lies_with_channels_innermost(shape):
    blob = Blob(shape, channels_last=True)
    assert blob.shape == shape
    for array in (blob.data, blob.diff):
        assert not array.flags.c_contiguous
        assert np.moveaxis(array, 1, -1).flags.c_contiguous
        with pytest.raises(ValueError, match="copy"):
            array.reshape(-1, copy=False)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 3, 4)])
def test_channels_last_of_fewer_axes_is_contiguous(shape):
    assert Blob(shape, channels_last=True).data.flags.c_contiguous


@pytest.mark.parametrize("channels_last", [False, True])
def test_reshape_within_the_first_size(channels_last):
    blob = Blob((4, 3, 2, 5), channels_last=channels_last)
    blob.diff[...] = 1
    storage = blob.data
    blob.reshape(2, 3, 2, 5)
    assert blob.data.shape == blob.diff.shape == (2, 3, 2, 5)
    assert np.shares_memory(blob.data, storage)
    assert (blob.diff == 1).all()
    blob.reshape(0, 3, 2, 5)
    assert blob.count == 0
    blob.reshape(120)
    assert blob.shape == (120,)
    blob.reshape(4, 3, 2, 5)
    assert blob.shape == (4, 3, 2, 5)


def test_reshape_to_the_same_shape_keeps_the_views():
    blob = Blob((2, 3))
    data = blob.data
    blob.reshape(2, 3)
    assert blob.data is data


def test_reshape_before_the_diff_was_made():
    blob = Blob((4, 3))
    blob.reshape(2, 3)
    assert blob.diff.shape == (2, 3)
    blob.reshape(4, 3)
    assert blob.diff.shape == (4, 3)


def test_reshape_beyond_the_first_size_is_an_error():
    with pytest.raises(ShapeError, match="a blob made for 6 elements cannot take the shape 7"):
        Blob((2, 3)).reshape(7)


def test_of_lies_over_the_given_arrays():
    flat, flat_diff = np.arange(10.0), np.zeros(10)
    blob = Blob.of(flat[2:8].reshape(2, 3), flat_diff[2:8].reshape(2, 3))
    assert blob.has_diff
    blob.data[0, 0] = 9
    blob.diff[1, 2] = 7
    assert flat[2] == 9
    assert flat_diff[7] == 7
    with pytest.raises(ShapeError, match="cannot take the shape 6"):
        blob.reshape(6)


def test_of_without_diff_makes_one():
    blob = Blob.of(np.ones((2, 3), np.float32))
    assert not blob.has_diff
    assert (blob.diff.shape, blob.diff.dtype) == ((2, 3), np.float32)


def test_weights_by_number_and_by_name():
    weight, bias = Blob((2, 3)), Blob((2,))
    weights = Weights({"weight": weight, "bias": bias})
    assert weights[0] is weights["weight"] is weights.weight is weight
    assert weights[-1] is weights.bias is bias
    assert weights[:1] == [weight]
    assert weights.names == ("weight", "bias")
    assert dict(weights.items()) == {"weight": weight, "bias": bias}
    assert list(weights) == [weight, bias]
    assert len(weights) == 2
    assert repr(weights) == "Weights(weight: 2x3, bias: 2)"


def test_weights_that_do_not_exist():
    weights = Weights({"weight": Blob((2, 3))})
    with pytest.raises(UnknownNameError, match="there is no weight 'weigth'; did you mean 'weight'"):
        weights["weigth"]
    with pytest.raises(AttributeError, match="there is no weight 'bias'; there are: weight"):
        _ = weights.bias
    with pytest.raises(AttributeError, match="there are: none"):
        _ = Weights().bias
    with pytest.raises(IndexError):
        weights[1]


def test_shape_text():
    assert [shape_text(shape) for shape in [(64, 3, 32), (5,), (), (0, 2)]] == ["64x3x32", "5", "scalar", "0x2"]


@pytest.mark.parametrize("channels_last", [False, True])
def test_resize_takes_up_more_memory(channels_last):
    blob = Blob((2, 3, 4, 5), channels_last=channels_last)
    blob.resize((3, 3, 4, 5))
    assert not blob.has_diff
    assert blob.diff.shape == (3, 3, 4, 5)
    blob.resize((4, 3, 4, 5))
    assert blob.data.shape == blob.diff.shape == (4, 3, 4, 5)
    assert blob.data.flags.c_contiguous is not channels_last
    storage = blob.data
    blob.resize((2, 3, 4, 5))
    assert np.shares_memory(blob.data, storage)


def test_alias_has_another_s_data_and_a_diff_of_its_own():
    blob = Blob((2, 3), np.float64)
    alias = Alias(blob)
    blob.data[...] = 4
    assert alias.data is blob.data
    assert (alias.shape, alias.dtype, alias.count) == ((2, 3), np.float64, 6)
    assert not alias.has_diff
    alias.diff[...] = 1
    assert alias.has_diff
    assert not blob.has_diff
    assert not blob.diff.any()


def test_alias_follows_reshape_and_resize():
    blob = Blob((4, 3))
    alias = Alias(blob)
    alias.diff[...] = 1
    alias.reshape(2, 3)
    assert blob.shape == alias.data.shape == alias.diff.shape == (2, 3)
    alias.resize((6, 3))
    assert blob.shape == alias.data.shape == alias.diff.shape == (6, 3)


def test_alias_of_a_third_blob_s_diff():
    last, first = Blob((4, 3)), Blob((4, 3))
    alias = Alias(last, first)
    assert not alias.has_diff
    assert alias.diff is first.diff
    assert alias.has_diff
    alias.reshape(2, 3)
    assert last.shape == first.shape == (2, 3)
    alias.resize((5, 3))
    assert alias.data is last.data
    assert alias.diff is first.diff
    assert first.shape == last.shape == (5, 3)


def test_alias_lies_channels_last_where_its_blob_does():
    alias = Alias(Blob((2, 3, 4, 5), channels_last=True))
    assert np.moveaxis(alias.diff, 1, -1).flags.c_contiguous
