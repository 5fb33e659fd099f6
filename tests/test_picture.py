"""Images that are no arrays yet: what transforms make of them is what they make of their arrays."""

import numpy as np
import pytest
from PIL import Image
from transform_tools import COUNT, DRAWS, EPOCHS, INDICES, LABELS, RNG, made

from layerkit.datasets import open_source
from layerkit.datasets.picture import Picture
from layerkit.datasets.selection import select
from layerkit.datasets.transforms import Finish, Layout, Pipeline
from layerkit.errors import DataError

SIZES = [(19, 31), (40, 28), (17, 17), (32, 60), (19, 29), (18, 41), (30, 20)]
IMAGES = [RNG.integers(0, 256, (3, *size), dtype=np.uint8) for size in SIZES]
FREE = Layout(((3, 0, 0), ()), (np.dtype(np.uint8), np.dtype(np.int64)), 5)
RESIZES = [
    [made(type="resize", size=12, interpolation=each), made(type="center_crop", size=[10, 11])]
    for each in ("nearest", "bilinear", "bicubic")
]


def out_of(pipeline, images):
    out = [np.full((COUNT, *shape), np.nan, np.float32) for shape in pipeline.shapes]
    pipeline.apply_each(zip(images, LABELS, strict=True), EPOCHS, INDICES, out)
    return out


@pytest.mark.parametrize(
    "steps",
    [
        *RESIZES,
        [made(type="resize", size=[12, 10], fit="cover")],
        [made(type="resize", size=[12, 10], antialias=False)],
        [made(type="random_resized_crop", size=[12, 10])],
        [made(type="random_crop", size=9), made(type="resize", size=[12, 10])],
        [made(type="color_jitter", brightness=0.5), made(type="random_resized_crop", size=9)],
    ],
    ids=lambda steps: "-".join(step.type for step in steps),
)
def test_transforms_make_the_same_of_pictures_and_of_arrays(steps):
    steps = [*steps, made(type="mirror"), made(type="normalize", mean=100, std=50)]
    pipeline = Pipeline(FREE, steps, Finish(scale=0.5), DRAWS)
    for found, wanted in zip(
        out_of(pipeline, [Picture.of(image) for image in IMAGES]), out_of(pipeline, IMAGES), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("steps", RESIZES, ids=lambda steps: steps[0].interpolation)
def test_of_a_resized_image_only_the_middle_is_made(steps):
    """Pillow's own resizing of the whole, of which numpy cuts the middle."""
    (data, _), method = out_of(Pipeline(FREE, steps, Finish()), IMAGES), steps[0].interpolation.upper()
    for row, image in zip(data, IMAGES, strict=True):
        height, width = image.shape[1:]
        sides = 12 * width // min(height, width), 12 * height // min(height, width)
        whole = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize(sides, Image.Resampling[method]))
        y, x = (sides[1] - 10) // 2, (sides[0] - 11) // 2
        np.testing.assert_allclose(row, whole[y : y + 10, x : x + 11].transpose(2, 0, 1), atol=1)


def test_an_image_that_is_too_small_once_it_is_resized_is_named():
    pipeline = Pipeline(FREE, [made(type="resize", size=12), made(type="center_crop", size=13)], Finish())
    match = r"sample 5: transform\[1\] \(center_crop\): size: images of 12x19 .*13"
    with pytest.raises(DataError, match=match):
        out_of(pipeline, IMAGES)


def test_numbers_are_the_same_drawn_one_by_one_and_for_a_whole_batch():
    """Images of one size, each by itself and all at once."""
    images = RNG.integers(0, 256, (COUNT, 3, 24, 30), dtype=np.uint8)
    steps = [made(type="random_resized_crop", size=9), made(type="random_crop", size=7), made(type="mirror")]
    one_by_one, _ = out_of(Pipeline(FREE, steps, Finish(), DRAWS), images)
    fixed = Pipeline(FREE.with_data((3, 24, 30)), steps, Finish(), DRAWS)
    together = [np.zeros((COUNT, *shape), np.float32) for shape in fixed.shapes]
    fixed.apply([images, LABELS], EPOCHS, INDICES, together)
    np.testing.assert_array_equal(one_by_one, together[0])


@pytest.mark.parametrize("parts", [{}, {"train": 0.5}])
def test_files_are_read_as_pictures_of_what_they_hold(tmp_path, parts):
    for name in "ab":
        (tmp_path / name).mkdir()
        for number, image in enumerate(IMAGES[:2]):
            Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / name / f"{number}.png")
    whole = open_source("image_folder", str(tmp_path), "train")
    source = select("image_folder", str(tmp_path), "train", parts=parts).open() if parts else whole
    for index in range(len(source)):
        sample, read = source.sample(index), source.as_read(index)
        assert isinstance(read["data"], Picture)
        assert read["data"].shape == sample["data"].shape
        np.testing.assert_array_equal(read["data"].pixels(), sample["data"])
        assert read["label"] == sample["label"]
        assert source.place(index).endswith(".png'")
