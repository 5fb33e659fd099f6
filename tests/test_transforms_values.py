"""Transforms that change values, of pixels and of labels, against plain loops."""

import colorsys
import math

import numpy as np
import pytest
from transform_tools import (
    BYTES,
    COUNT,
    DRAWS,
    EPOCHS,
    FLOATS,
    INDICES,
    LABELS,
    drawn,
    last,
    layout,
    made,
    run,
    samples,
)

from layerkit.datasets.transforms import Layout
from layerkit.errors import DataError, ShapeError

BOTH = pytest.mark.parametrize("data", [BYTES, FLOATS, last(BYTES), last(FLOATS)], ids=["chw", "floats", "hwc", "both"])


# --- normalize ---


@BOTH
@pytest.mark.parametrize("room", [None, np.float32, np.float64])
@pytest.mark.parametrize(
    ("mean", "std"), [(0, 1), (3, 1), (0, 2), (120, 60), ([1, 2, 3], 4), (1, [2, 3, 4]), ([1, 2, 3], [4, 5, 6])]
)
def test_normalize_subtracts_and_divides(data, room, mean, std):
    normalize, batch = made(type="normalize", mean=mean, std=std), samples(data)
    batch.room = None if room is None else last(np.full(data.shape, np.nan, room))
    normalize.apply(batch)
    assert batch.room is None
    assert batch.data.dtype == (room or np.float32)
    for i, c in np.ndindex(COUNT, 3):
        less, by = (each[c] if isinstance(each, list) else each for each in (mean, std))
        np.testing.assert_allclose(batch.data[i, c], (data[i, c].astype(float) - less) / by, rtol=2e-6, atol=1e-6)


def test_normalize_serves_samples_of_any_shape():
    for data in (LABELS, BYTES[:, 0, 0], BYTES[:, :, 0], np.zeros((COUNT, 3, 2, 2, 2))):
        found = run(made(type="normalize", mean=2, std=4), data)[0]
        np.testing.assert_allclose(found, (data - 2.0) / 4)
    vectors = BYTES[:, :, 0, 0]
    np.testing.assert_allclose(run(made(type="normalize", mean=[1, 2, 3]), vectors)[0], vectors - [1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="std has 2 values, which do not fit the channels of samples of shape 3x9x11"):
        made(type="normalize", std=[1, 2]).plan(layout(BYTES))


# --- color_jitter ---


def jittered(image, brightness, contrast, saturation, hue, top):
    """One image (3, H, W) in float64, as torchvision documents each step; the hue by Python's own colorsys."""

    def within(x):
        return x if top is None else np.clip(x, 0, top)

    def grey(x):
        return 0.299 * x[0] + 0.587 * x[1] + 0.114 * x[2]

    x = within(image.astype(float) * brightness)
    x = within(contrast * x + (1 - contrast) * grey(x).mean())
    x = within(saturation * x + (1 - saturation) * grey(x))
    for at in np.ndindex(x.shape[1:]):
        place = (slice(None), *at)
        h, s, v = colorsys.rgb_to_hsv(*x[place])
        x[place] = colorsys.hsv_to_rgb((h + hue) % 1, s, v)
    return x


@BOTH
def test_color_jitter_changes_by_factors_between_its_ends(data):
    if data.dtype != np.uint8:
        data = abs(data) / 4  # colours
    jitter = made(type="color_jitter", brightness=0.5, contrast=[0.4, 1.5], saturation=2, hue=0.4)
    found = run(jitter, data)[0]
    assert found.dtype == data.dtype
    for i, u in enumerate(drawn(4)):
        factors = (0.5 + u[0], 0.4 + 1.1 * u[1], 3 * u[2], 0.8 * u[3] - 0.4)  # a factor of less than 0 is 0
        wanted = jittered(data[i], *factors, 255 if data.dtype == np.uint8 else None)
        if data.dtype == np.uint8:
            assert abs(found[i] - wanted).max() <= 0.51
        else:
            np.testing.assert_allclose(found[i], wanted, atol=1e-4)


def test_color_jitter_by_nothing_is_nothing_and_of_grey_it_changes_the_light():
    np.testing.assert_array_equal(run(made(type="color_jitter"), BYTES)[0], BYTES)
    grey = BYTES[:, :1]
    found = run(made(type="color_jitter", contrast=[0, 0]), grey)[0]
    np.testing.assert_array_equal(found[:, 0, 0, 0], np.rint(grey.mean(axis=(1, 2, 3))))
    found = run(made(type="color_jitter", brightness=[2, 2]), np.repeat(grey, 2, axis=1))[0]
    np.testing.assert_array_equal(found[:, 1], np.minimum(grey[:, 0].astype(int) * 2, 255))


@pytest.mark.parametrize(
    ("fields", "channels", "match"),
    [
        ({"saturation": 0.1}, 1, "saturation needs images of three channels, red, green and blue, not of 1"),
        ({"hue": 0.1}, 4, "hue needs images of three channels, red, green and blue, not of 4"),
        ({"contrast": 0.1}, 2, "contrast needs images of one or three channels, not of 2"),
    ],
)
def test_colours_need_three_channels(fields, channels, match):
    with pytest.raises(ShapeError, match=match):
        made(type="color_jitter", **fields).plan(Layout(((channels, 4, 5),), (np.dtype(np.uint8),)))


# --- random_erasing and cutout ---


@BOTH
@pytest.mark.parametrize("value", [3, [1, 2, 3]])
def test_random_erasing_covers_a_part(data, value):
    erasing = made(type="random_erasing", p=0.7, scale=[0.1, 0.4], ratio=[0.5, 2], value=value)
    found, covered = run(erasing, data)[0], 0
    for i, u in enumerate(drawn(23)):
        wanted = data[i].copy()
        for j in range(10 if u[22] < 0.7 else 0):
            area, ratio = 99 * (0.1 + 0.3 * u[j]), math.exp(math.log(0.5) + math.log(4) * u[10 + j])
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < 9 and w < 11:
                y, x = int(u[20] * (9 - h + 1)), int(u[21] * (11 - w + 1))
                wanted[:, y : y + h, x : x + w] = np.reshape(value, (-1, 1, 1))
                covered += 1
                break
        np.testing.assert_array_equal(found[i], wanted)
    assert 0 < covered < COUNT


def test_random_erasing_can_cover_by_noise():
    zeros = np.zeros((COUNT, 2, 90, 90), np.uint8)
    erasing = made(type="random_erasing", p=1, scale=[0.3, 0.3], ratio=[1, 1], value="random")
    found = run(erasing, zeros)[0]
    noise = found[found > 0].astype(float)
    assert noise.mean() == pytest.approx(128, abs=2)
    assert len(np.unique(noise)) == 255
    assert (found[0] != found[1]).any()
    np.testing.assert_array_equal(run(erasing, zeros[:1])[0][0], found[0])
    found = run(erasing, zeros.astype(np.float32))[0]
    assert found[found != 0].std() == pytest.approx(1, abs=0.02)


def test_random_erasing_that_fits_nowhere_covers_nothing():
    found = run(made(type="random_erasing", p=1, scale=[1, 1]), BYTES)[0]
    np.testing.assert_array_equal(found, BYTES)
    with pytest.raises(ShapeError, match="value has 2 numbers, which do not fit images of 3 channels"):
        made(type="random_erasing", value=[1, 2]).plan(layout(BYTES))


@BOTH
def test_cutout_covers_squares_that_may_stand_out(data):
    found = run(made(type="cutout", length=5, n_holes=2, fill=9), data)[0]
    for i, u in enumerate(drawn(4)):
        wanted = data[i].copy()
        for v, w in (u[:2], u[2:]):
            for c, y, x in np.ndindex(wanted.shape):
                if 0 <= y - (int(v * 9) - 2) < 5 and 0 <= x - (int(w * 11) - 2) < 5:
                    wanted[c, y, x] = 9
        np.testing.assert_array_equal(found[i], wanted)
    assert (run(made(type="cutout", length=40), BYTES)[0] == 0).all()


# --- labels ---


def test_one_hot_makes_vectors():
    for labels in (LABELS, LABELS.astype(np.float32), LABELS.astype(np.uint8)):
        data, found = run(made(type="one_hot", num_classes=6), BYTES, labels)
        assert data is BYTES
        np.testing.assert_array_equal(found, np.eye(6, dtype=np.float32)[LABELS])
    np.testing.assert_array_equal(run(made(type="one_hot"), BYTES, classes=5)[1], np.eye(5)[LABELS])
    planned = made(type="one_hot").plan(layout(BYTES, LABELS, LABELS, classes=5))
    assert planned.shapes == ((3, 9, 11), (5,), ())


@pytest.mark.parametrize("label", [5, -1, 2.5])
def test_a_label_that_is_no_class_is_named(label):
    labels = np.array([0, 1, label, 2, 3, 0, 0])
    for kind in ("one_hot", "mixup", "cutmix"):
        batch = samples(BYTES, labels)
        batch.indices = np.arange(7, 14)
        with pytest.raises(DataError, match=rf"label {label} of sample 9 is no class, which are 0 to 4"):
            made(type=kind, num_classes=5).apply(batch)


def partners():
    """Who is mixed with whom: round in a circle in the order of the numbers drawn first."""
    order = sorted(range(COUNT), key=lambda i: drawn(2)[i, 0])
    return {order[i]: order[(i + 1) % COUNT] for i in range(COUNT)}


def shares(alpha, p):
    own = DRAWS.beta(EPOCHS, INDICES, alpha, 1 << 8 | 1)
    return [share if u < p else 1.0 for share, u in zip(own.tolist(), drawn(2)[:, 1], strict=True)]


@BOTH
@pytest.mark.parametrize("p", [1, 0.5])
def test_mixup_adds_another_sample_and_its_label(data, p):
    mixup = made(type="mixup", alpha=0.4, num_classes=5, p=p)
    found, labels = run(mixup, data)
    assert found.dtype == labels.dtype == np.float32
    hot = np.eye(5)[LABELS]
    share = shares(0.4, p)
    assert p == 1 or (1.0 in share and min(share) < 1)
    for i, other in partners().items():
        np.testing.assert_allclose(found[i], share[i] * data[i] + (1 - share[i]) * data[other], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(labels[i], share[i] * hot[i] + (1 - share[i]) * hot[other], atol=1e-6)
    again = run(mixup, data, hot)[1]  # labels that are vectors already
    np.testing.assert_allclose(again, labels, atol=1e-6)


@BOTH
def test_cutmix_puts_a_part_of_another_sample_over_each_and_mixes_labels_by_area(data):
    found, labels = run(made(type="cutmix", num_classes=5), data)
    hot, share = np.eye(5)[LABELS], shares(1.0, 1)
    for i, other in partners().items():
        u, v = drawn(2, stream=2)[i]
        y, x, half = int(u * 9), int(v * 11), math.sqrt(1 - share[i]) / 2
        high, wide = int(9 * half), int(11 * half)
        wanted, area = data[i].copy(), 0
        for at in np.ndindex(9, 11):
            if y - high <= at[0] < y + high and x - wide <= at[1] < x + wide:
                wanted[:, at[0], at[1]] = data[other][:, at[0], at[1]]
                area += 1
        np.testing.assert_array_equal(found[i], wanted)
        np.testing.assert_allclose(labels[i], hot[i] * (1 - area / 99) + hot[other] * area / 99, atol=1e-6)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_batch_of_one_is_mixed_with_itself_and_data_alone_can_be(kind):
    mixing = made(type=kind, num_classes=5)
    data, labels = run(mixing, BYTES[:1])
    np.testing.assert_allclose(data, BYTES[:1], rtol=1e-6)
    np.testing.assert_allclose(labels, np.eye(5)[LABELS[:1]], atol=1e-6)
    alone = run(mixing, BYTES, None)
    assert len(alone) == 1
    assert (alone[0] != BYTES).any()
    assert mixing.plan(layout(BYTES)).shapes == ((3, 9, 11),)


def test_labels_that_cannot_be_vectors_are_refused():
    for kind in ("one_hot", "mixup", "cutmix"):
        with pytest.raises(ShapeError, match="it needs num_classes, since the dataset does not name its classes"):
            made(type=kind).plan(layout(BYTES, LABELS))
        assert made(type=kind).plan(layout(BYTES, LABELS, classes=4)).shapes[1] == (4,)
    with pytest.raises(ShapeError, match="it needs labels, but the layer has one top only"):
        made(type="one_hot").plan(layout(BYTES))
    with pytest.raises(ShapeError, match="it takes labels of one number a sample, not of shape 9x11"):
        made(type="one_hot").plan(layout(BYTES, BYTES[:, 0]))
    with pytest.raises(ShapeError, match="it takes labels of one class a sample, not of shape 9x11"):
        made(type="mixup").plan(layout(BYTES, BYTES[:, 0]))
    with pytest.raises(ShapeError, match="it takes images of one size; put a resize or a crop in front of it"):
        made(type="mixup").plan(Layout(((3, 0, 0), ()), (np.dtype(np.uint8),) * 2, 5))
    assert made(type="mixup").plan(layout(LABELS, LABELS, classes=5)).shapes == ((), (5,))
    with pytest.raises(ShapeError, match="it takes images"):
        made(type="cutmix").plan(layout(LABELS))
