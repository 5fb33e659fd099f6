"""Transforms that move pixels: crops, resizing, mirror, rotate and affine, against plain loops and Pillow."""

import math

import numpy as np
import pytest
from PIL import Image
from transform_tools import BYTES, COUNT, FLOATS, LABELS, RNG, drawn, last, layout, made, run

from layerkit.datasets.transforms import Layout
from layerkit.errors import DataError, ShapeError

BOTH = pytest.mark.parametrize("data", [BYTES, FLOATS, last(BYTES), BYTES[:, :1]], ids=["chw", "floats", "hwc", "grey"])


@BOTH
def test_center_crop_leaves_the_odd_rest_behind(data):
    found = run(made(type="center_crop", size=[4, 8]), data)[0]
    np.testing.assert_array_equal(found, data[:, :, 2:6, 1:9])
    np.testing.assert_array_equal(run(made(type="center_crop", size=9), data)[0], data[:, :, :, 1:10])


@BOTH
def test_random_crop_cuts_where_its_numbers_say(data):
    found = run(made(type="random_crop", size=[4, 8]), data)[0]
    for i, (u, v) in enumerate(drawn(2)):
        y, x = int(u * (9 - 4 + 1)), int(v * (11 - 8 + 1))
        np.testing.assert_array_equal(found[i], data[i, :, y : y + 4, x : x + 8])


@BOTH
@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_pad_crop_shifts_an_image_within_its_padding(data, mode):
    found = run(made(type="pad_crop", padding=3, padding_mode=mode, fill=7), data)[0]
    for i, (u, v) in enumerate(drawn(2)):
        up, left = int(u * 7) - 3, int(v * 7) - 3
        for c, y, x in np.ndindex(found.shape[1:]):
            at = []
            for place, length in ((y + up, 9), (x + left, 11)):
                inside = min(max(place, 0), length - 1)
                over = place - inside  # how far outside
                at.append(
                    {
                        "constant": place if over == 0 else None,
                        "edge": inside,
                        "reflect": inside - over,
                        "symmetric": inside - over + (over > 0) - (over < 0),
                    }[mode]
                )
            assert found[i, c, y, x] == (7 if None in at else data[i, c, at[0], at[1]])


def test_a_fill_is_the_nearest_byte():
    assert run(made(type="pad_crop", padding=9, fill=300), BYTES)[0].max() == 255
    assert run(made(type="pad_crop", padding=9, fill=-3.4), BYTES + 1)[0].min() == 0


@BOTH
def test_mirror_turns_over_whom_its_number_says(data):
    for direction, turn in (("horizontal", np.s_[..., ::-1]), ("vertical", np.s_[..., ::-1, :])):
        found = run(made(type="mirror", p=0.4, direction=direction), data)[0]
        turned = drawn(1)[:, 0] < 0.4
        assert 0 < turned.sum() < COUNT
        for i in range(COUNT):
            np.testing.assert_array_equal(found[i], data[i][turn] if turned[i] else data[i])
    np.testing.assert_array_equal(run(made(type="mirror", p=1), data)[0], data[..., ::-1])


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "sides"), [(6, (6, 7)), (18, (18, 22)), ([5, 20], (5, 20))])
def test_resize_is_pillows(method, size, sides):
    resize = made(type="resize", size=size, interpolation=method)
    for data in (BYTES, last(BYTES)):
        found = run(resize, data)[0]
        assert found.dtype == np.uint8
        for i in range(COUNT):
            picture = Image.fromarray(np.ascontiguousarray(data[i].transpose(1, 2, 0)))
            wanted = np.asarray(picture.resize(sides[::-1], Image.Resampling[method.upper()]))
            np.testing.assert_array_equal(found[i].transpose(1, 2, 0), wanted)
    many = np.concatenate([FLOATS, FLOATS * 2], axis=1)[:, :5]
    found = run(resize, many)[0]
    assert found.dtype == np.float32
    for i, c in np.ndindex(COUNT, 5):
        wanted = Image.fromarray(many[i, c]).resize(sides[::-1], Image.Resampling[method.upper()])
        np.testing.assert_array_equal(found[i, c], np.asarray(wanted))


def test_the_shorter_side_is_as_long_as_resize_says():
    tall = BYTES.transpose(0, 1, 3, 2)
    assert run(made(type="resize", size=6), tall)[0].shape == (COUNT, 3, 7, 6)  # 6 * 11 / 9 = 7.33
    np.testing.assert_array_equal(run(made(type="resize", size=9), BYTES)[0], BYTES)


def test_an_image_that_shrinks_is_smoothed_unless_said_otherwise():
    stripes = np.zeros((1, 1, 8, 32), np.uint8)
    stripes[..., ::4] = 200
    smooth = run(made(type="resize", size=[8, 8]), stripes)[0]
    assert smooth.min() > 30  # each is a mean of eight columns, weighted
    assert smooth.max() < 60
    plain = run(made(type="resize", size=[8, 8], antialias=False), stripes)[0]
    assert set(np.unique(plain)) == {0}  # between the second and the third of four columns
    floats = run(made(type="resize", size=[2, 3], antialias=False), FLOATS)[0]
    assert floats.dtype == np.float32
    # row (0 + 0.5) * 9 / 2 - 0.5 = 1.75, column (1 + 0.5) * 11 / 3 - 0.5 = 5
    np.testing.assert_allclose(
        floats[:, :, 0, 1], 0.25 * FLOATS[:, :, 1, 5] + 0.75 * FLOATS[:, :, 2, 5], rtol=1e-5, atol=1e-6
    )


def test_cover_keeps_proportions_and_cuts_off_the_sides():
    found = run(made(type="resize", size=[6, 4], fit="cover"), BYTES)[0]
    part = BYTES[:, :, :, 2:8]  # 9 x 6 of 9 x 11
    np.testing.assert_array_equal(found, run(made(type="resize", size=[6, 4]), part)[0])
    found = run(made(type="resize", size=[2, 11], fit="cover"), BYTES)[0]
    np.testing.assert_array_equal(found, run(made(type="resize", size=[2, 11]), BYTES[:, :, 3:5])[0])


def test_random_resized_crop_takes_parts_of_the_areas_and_proportions_that_are_asked_for():
    crop = made(type="random_resized_crop", size=[4, 5], scale=[0.2, 0.6], ratio=[0.5, 2])
    k, height, width = 4000, 300, 400
    numbers = np.random.default_rng(1).random((k, 22))
    boxes = crop.boxes(height, width, numbers)
    top, left, high, wide = boxes.T
    assert top.min() >= 0
    assert left.min() >= 0
    assert ((top + high <= height) & (left + wide <= width)).all()
    area, ratio = high * wide / (height * width), wide / high
    assert 0.195 < area.min() < 0.21
    assert 0.59 < area.max() < 0.605
    assert 0.49 < ratio.min() < 0.52
    assert 1.95 < ratio.max() < 2.02
    for row in range(50):  # the first try that lies within the image, one by one
        for i in range(10):
            target = height * width * (0.2 + 0.4 * numbers[row, i])
            shape = math.exp(math.log(0.5) + numbers[row, 10 + i] * (math.log(2) - math.log(0.5)))
            w, h = round(math.sqrt(target * shape)), round(math.sqrt(target / shape))
            if 0 < w <= width and 0 < h <= height:
                y, x = int(numbers[row, 20] * (height - h + 1)), int(numbers[row, 21] * (width - w + 1))
                assert boxes[row].tolist() == [y, x, h, w]
                break
    found = run(crop, BYTES)[0]
    for i, (y, x, h, w) in enumerate(crop.boxes(9, 11, drawn(22)).tolist()):
        part = BYTES[i : i + 1, :, y : y + h, x : x + w]
        np.testing.assert_array_equal(found[i : i + 1], run(made(type="resize", size=[4, 5]), part)[0])


@pytest.mark.parametrize(
    ("sides", "ratio", "box"),
    [((10, 100), [0.75, 1.2], [0, 44, 10, 12]), ((100, 10), [0.75, 1.2], [43, 0, 13, 10])],
)
def test_without_a_try_that_fits_it_is_the_middle(sides, ratio, box):
    crop = made(type="random_resized_crop", size=4, scale=[1, 1], ratio=ratio)
    boxes = crop.boxes(*sides, np.random.default_rng(1).random((5, 22)))
    assert boxes.tolist() == [box] * 5


def matrix(*, turn=0.0, shift=(0, 0), scale=1.0, shear=(0.0, 0.0)):
    """Where torchvision documents that a pixel goes: T C R(turn) shear_y shear_x scale C^-1, with y downwards."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    rotation = np.array([[cos, -sin], [sin, cos]])
    shear_x = np.array([[1, -math.tan(math.radians(shear[0]))], [0, 1]])
    shear_y = np.array([[1, 0], [-math.tan(math.radians(shear[1])), 1]])
    return rotation @ shear_y @ shear_x * scale, np.array(shift)


def warped(image, move, shift, fill, smooth):
    """Pixel by pixel: where it came from, and what lies there."""
    channels, height, width = image.shape
    out = np.zeros(image.shape)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])

    def value(c, y, x):
        return float(image[c, y, x]) if 0 <= y < height and 0 <= x < width else fill

    for c, y, x in np.ndindex(channels, height, width):
        from_x, from_y = np.linalg.solve(move, np.array([x, y]) - middle - shift) + middle
        if not smooth:
            out[c, y, x] = value(c, math.floor(from_y + 0.5), math.floor(from_x + 0.5))
            continue
        low_y, low_x = math.floor(from_y), math.floor(from_x)
        for dy, dx in np.ndindex(2, 2):
            weight = abs(1 - dy - (from_y - low_y)) * abs(1 - dx - (from_x - low_x))
            out[c, y, x] += weight * value(c, low_y + dy, low_x + dx)
    return out


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@BOTH
def test_rotate_turns_by_an_angle_between_its_ends(data, method):
    found = run(made(type="rotate", degrees=[10, 40], interpolation=method, fill=9), data)[0]
    for i, u in enumerate(drawn(1)[:, 0]):
        move, shift = matrix(turn=-(10 + 30 * u))  # counter-clockwise
        wanted = warped(data[i], move, shift, 9, method == "bilinear")
        if data.dtype == np.uint8:
            assert abs(found[i] - np.floor(wanted + 0.5)).max() <= 1
            assert (found[i] != np.floor(wanted + 0.5)).mean() < 0.01
        else:
            np.testing.assert_allclose(found[i], wanted, atol=2e-4)


def test_rotate_turns_counter_clockwise_and_either_way():
    quarter = run(made(type="rotate", degrees=[90, 90], interpolation="nearest"), BYTES[..., 1:10])[0]
    np.testing.assert_array_equal(quarter, np.rot90(BYTES[..., 1:10], axes=(2, 3)))
    either = run(made(type="rotate", degrees=30), FLOATS)[0]
    for i, u in enumerate(drawn(1)[:, 0]):
        np.testing.assert_allclose(either[i], warped(FLOATS[i], *matrix(turn=-(60 * u - 30)), 0, True), atol=5e-4)


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_affine_does_what_torchvision_documents(method):
    affine = made(
        type="affine",
        degrees=[-20, 50],
        translate=[0.1, 0.3],
        scale=[0.7, 1.4],
        shear=[-5, 15, -10, 12],
        interpolation=method,
        fill=-1,
    )
    found = run(affine, FLOATS)[0]
    for i, u in enumerate(drawn(6)):
        move, shift = matrix(
            turn=-20 + 70 * u[0],
            shear=(-5 + 20 * u[1], -10 + 22 * u[2]),
            scale=0.7 + 0.7 * u[3],
            shift=(round((2 * u[4] - 1) * 0.1 * 11), round((2 * u[5] - 1) * 0.3 * 9)),
        )
        np.testing.assert_allclose(found[i], warped(FLOATS[i], move, shift, -1, method == "bilinear"), atol=5e-4)


def test_affine_by_nothing_is_nothing_and_by_one_number_is_to_both_sides():
    np.testing.assert_array_equal(run(made(type="affine"), BYTES)[0], BYTES)
    found = run(made(type="affine", translate=0.2, scale=0.8, shear=9), FLOATS)[0]
    for i, u in enumerate(drawn(6)):
        move, shift = matrix(
            shear=(-9 + 18 * u[1], 0),
            scale=0.8,
            shift=(round((2 * u[4] - 1) * 0.2 * 11), round((2 * u[5] - 1) * 0.2 * 9)),
        )
        np.testing.assert_allclose(found[i], warped(FLOATS[i], move, shift, 0, True), atol=5e-4)


def test_other_numbers_than_bytes_become_floats():
    for fields in ({"type": "resize", "size": 4}, {"type": "rotate", "degrees": 9}, {"type": "affine", "scale": 2}):
        for dtype in (np.int16, np.float64, bool):
            data = RNG.integers(0, 2, (COUNT, 2, 8, 6)).astype(dtype)
            transform = made(**fields)
            assert run(transform, data)[0].dtype == transform.plan(layout(data)).dtypes[0] == np.float32


MOVING = [
    {"type": "center_crop", "size": 4},
    {"type": "random_crop", "size": 4},
    {"type": "pad_crop", "padding": 1},
    {"type": "mirror"},
    {"type": "resize", "size": 4},
    {"type": "random_resized_crop", "size": 4},
    {"type": "rotate", "degrees": 9},
    {"type": "affine", "degrees": 9},
]


@pytest.mark.parametrize("fields", MOVING, ids=lambda fields: fields["type"])
def test_what_is_planned_is_what_is_made_and_only_images_can_be(fields):
    transform = made(**fields)
    for data in (BYTES, FLOATS):
        planned, found = transform.plan(layout(data, LABELS)), run(transform, data)[0]
        assert (planned.shapes, planned.dtypes[0]) == ((found.shape[1:], ()), found.dtype)
    free = transform.plan(Layout(((3, 0, 0),), (np.dtype(np.uint8),)))
    assert free.settled == (fields["type"] in ("center_crop", "random_crop", "random_resized_crop"))
    with pytest.raises(ShapeError, match=r"it takes images of channels x height x width, not samples of shape 9x11"):
        transform.plan(layout(BYTES[:, 0]))
    with pytest.raises(ShapeError, match="not samples that are single numbers"):
        transform.plan(layout(LABELS))
    with pytest.raises(ShapeError, match=r"the label map of 9x11 would no longer fit"):
        transform.plan(layout(BYTES, BYTES[:, 0]))


def test_an_image_that_is_too_small_is_refused():
    for fields in ({"type": "center_crop", "size": 10}, {"type": "random_crop", "size": [3, 12]}):
        with pytest.raises(ShapeError, match="size: images of 9x11 are smaller than"):
            made(**fields).plan(layout(BYTES))
        with pytest.raises(ShapeError, match="size: images of 9x11 are smaller than"):
            run(made(**fields), BYTES)
    with pytest.raises(ShapeError, match="padding_mode: images of 9x11 are smaller than 10x10"):
        run(made(type="pad_crop", padding=9, padding_mode="reflect"), BYTES)


def test_without_pillow_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(DataError, match=r"resizing images needs the package pillow.*pip install 'layerkit\[data\]'"):
        run(made(type="resize", size=4), BYTES)
