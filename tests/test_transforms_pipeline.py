"""Pipelines: transforms in their order and phase, samples of their own sizes, draws that know nothing of batches."""

import pickle

import numpy as np
import pytest
from pydantic import TypeAdapter
from transform_tools import BYTES, COUNT, DRAWS, EPOCHS, FLOATS, INDICES, LABELS, RNG, layout, made, run, through

from layerkit.datasets import Header
from layerkit.datasets.draws import Draws
from layerkit.datasets.transforms import (
    AnyTransform,
    Finish,
    Layout,
    Pipeline,
    TransformParams,
    build,
    layout_of,
    of_info,
    sample_info,
)
from layerkit.errors import DataError, ShapeError
from layerkit.fields import Tagged
from layerkit.samples import SampleInfo

ALL = [
    {"type": "affine", "degrees": 20, "translate": 0.2},
    {"type": "center_crop", "size": [7, 6]},
    {"type": "color_jitter", "brightness": 0.3, "hue": 0.2},
    {"type": "cutmix", "num_classes": 5},
    {"type": "cutout", "length": 3},
    {"type": "mirror"},
    {"type": "mixup", "num_classes": 5},
    {"type": "normalize", "mean": 100, "std": 50},
    {"type": "one_hot", "num_classes": 5},
    {"type": "pad_crop", "padding": 2},
    {"type": "random_crop", "size": [7, 6]},
    {"type": "random_erasing"},
    {"type": "random_resized_crop", "size": [7, 6]},
    {"type": "resize", "size": [7, 6]},
    {"type": "rotate", "degrees": 15},
]
KINDS = {fields["type"]: fields for fields in ALL}
each = pytest.mark.parametrize("fields", ALL, ids=lambda fields: fields["type"])
MIXING = ("mixup", "cutmix")


def params(*kinds, **fields):
    return TransformParams.model_validate(
        {"transform": [KINDS[kind] if isinstance(kind, str) else kind for kind in kinds], **fields}
    )


def test_every_transform_is_tried_here():
    choices = TypeAdapter(AnyTransform).json_schema()["discriminator"]["mapping"]
    assert sorted(choices) == sorted(KINDS)


@each
def test_what_is_planned_is_what_is_made(fields):
    found = through([made(**fields)], BYTES, LABELS, classes=5)
    assert not any(np.isnan(array).any() for array in found)


def made_of(steps, rows, key=6, epochs=EPOCHS):
    """What a pipeline makes of a batch of these rows."""
    pipeline = Pipeline(layout(BYTES, LABELS, classes=5), steps, Finish(), Draws(key))
    out = [np.full((len(rows), *shape), np.nan, np.float32) for shape in pipeline.shapes]
    pipeline.apply([BYTES[rows], LABELS[rows]], epochs[rows], INDICES[rows], out)
    return out


@each
def test_a_sample_is_the_same_in_every_batch(fields):
    steps = [made(**fields), made(type="random_crop", size=5), made(type="mirror")]
    whole = made_of(steps, np.arange(COUNT))
    for rows in () if fields["type"] in MIXING else (np.array([4]), np.array([6, 1]), np.arange(COUNT)[::-1]):
        for few, every in zip(made_of(steps, rows), whole, strict=True):
            np.testing.assert_array_equal(few, every[rows])


@pytest.mark.parametrize("kind", MIXING)
def test_mixed_batches_hang_on_who_is_in_them_not_on_their_order(kind):
    rows = np.array([3, 6, 0, 2, 1, 5, 4])
    found, whole = (made_of([made(**KINDS[kind])], each_) for each_ in (rows, np.arange(COUNT)))
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one, other[rows])


@each
def test_another_epoch_or_seed_draws_anew_and_nothing_else_does(fields):
    transform, rows = made(**fields), np.arange(COUNT)
    first = made_of([transform], rows)[0]
    np.testing.assert_array_equal(made_of([transform], rows)[0], first)
    assert (made_of([transform], rows, key=7)[0] != first).any() == transform.random
    assert (made_of([transform], rows, epochs=EPOCHS + 1)[0] != first).any() == transform.random


def test_the_same_transform_twice_draws_twice():
    flips = [made(type="mirror"), made(type="mirror")]
    twice = through(flips, BYTES)[0]
    assert (twice != BYTES).any()
    crops = [made(type="random_crop", size=8)]
    cropped = through(crops, BYTES, finish=Finish(crop_size=4, crop_anywhere=True))[0]
    assert cropped.shape == (COUNT, 3, 4, 4)


@each
def test_outside_of_training_what_draws_is_left_out_or_takes_the_middle(fields):
    kind = fields["type"]
    pipeline = build(params(kind), "test", layout(BYTES, LABELS, classes=5))
    out = [np.zeros((COUNT, *shape), np.float32) for shape in pipeline.shapes]
    pipeline.apply([BYTES, LABELS], EPOCHS, INDICES, out)
    instead = {
        "random_crop": {"type": "center_crop", "size": [7, 6]},
        "random_resized_crop": {"type": "resize", "size": [7, 6], "fit": "cover"},
    }
    if kind in instead or not made(**fields).random:
        wanted = run(made(**instead.get(kind, fields)), BYTES, LABELS)
        np.testing.assert_allclose(out[0], wanted[0], rtol=1e-6)
        np.testing.assert_array_equal(out[1], wanted[1])
    else:
        np.testing.assert_array_equal(out[0], BYTES)
        assert out[1].tolist() == LABELS.tolist()


def test_the_list_comes_first_and_in_its_order():
    steps = [made(type="normalize", mean=1, std=2), made(type="pad_crop", padding=2, fill=9)]
    found = through(steps, BYTES, finish=Finish(scale=10, mean_value=(3.0,)))[0]
    assert found.max() > (255 - 1) / 2 * 10 - 31
    assert ((found == (9 - 3) * 10).sum()) > 100  # the fill is not normalized
    other = through(steps[::-1], BYTES)[0]
    assert ((other == (9 - 1) / 2).sum()) > 100


def test_floats_are_written_where_the_net_wants_them_at_once():
    pipeline = Pipeline(layout(BYTES), [made(type="normalize", mean=7)], Finish(scale=2), DRAWS)
    out = np.zeros(BYTES.shape, np.float64)
    pipeline.apply([BYTES], EPOCHS, INDICES, [out])
    np.testing.assert_array_equal(out, (BYTES - 7.0) * 2)


def test_a_pipeline_can_be_sent_to_another_process():
    pipeline = build(params("pad_crop", "mirror", "normalize", mirror=True), "train", layout(BYTES), draws=DRAWS)
    found = []
    for each_ in (pipeline, pickle.loads(pickle.dumps(pipeline))):
        out = np.zeros(BYTES.shape, np.float32)
        each_.apply([BYTES], EPOCHS, INDICES, [out])
        found.append(out)
    np.testing.assert_array_equal(*found)


# --- samples of their own sizes ---

SIZES = [(9, 11), (20, 8), (7, 7), (12, 30), (9, 9), (8, 21), (10, 10)]
IMAGES = [RNG.integers(0, 256, (3, *size), dtype=np.uint8) for size in SIZES]
FREE = Layout(((3, 0, 0), ()), (np.dtype(np.uint8), np.dtype(np.int64)), 5)


def own_sizes(pipeline, place="sample {}".format):
    out = [np.full((COUNT, *shape), np.nan, np.float32) for shape in pipeline.shapes]
    pipeline.apply_each(zip(IMAGES, LABELS, strict=True), EPOCHS, INDICES, out, place)
    return out


@pytest.mark.parametrize("kind", ["center_crop", "random_crop", "random_resized_crop", "resize"])
def test_images_of_several_sizes_are_as_each_by_itself(kind):
    steps = [made(**KINDS[kind]), made(type="mirror"), made(type="normalize", mean=100), made(type="one_hot")]
    pipeline = Pipeline(FREE, steps, Finish(scale=0.5), DRAWS)
    assert pipeline.settled
    assert pipeline.shapes == ((3, 7, 6), (5,))
    data, labels = own_sizes(pipeline)
    np.testing.assert_array_equal(labels, np.eye(5)[LABELS])
    for i, image in enumerate(IMAGES):
        out = [np.zeros((1, 3, 7, 6), np.float32), np.zeros((1, 5))]
        row = slice(i, i + 1)
        pipeline.at(image.shape).apply([image[np.newaxis], LABELS[row]], EPOCHS[row], INDICES[row], out)
        np.testing.assert_array_equal(data[i], out[0][0])


def test_caffes_crop_can_be_what_makes_the_size():
    pipeline = Pipeline(FREE, [made(type="mirror", p=1)], Finish(crop_size=6), DRAWS)
    assert pipeline.shapes == ((3, 6, 6), ())
    data, labels = own_sizes(pipeline)
    assert labels.tolist() == LABELS.tolist()
    np.testing.assert_array_equal(data[1], IMAGES[1][:, 7:13, 1:7][..., ::-1])


def test_mixing_comes_after_the_size():
    pipeline = Pipeline(FREE, [made(type="resize", size=[6, 6]), made(type="mixup")], Finish(), DRAWS)
    data, labels = own_sizes(pipeline)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    assert len(np.unique(data.reshape(COUNT, -1), axis=0)) == COUNT


def test_an_image_that_does_not_fit_is_named():
    for steps, finish, match in (
        (
            [made(type="center_crop", size=9)],
            Finish(),
            r"here: 2: transform\[0\] \(center_crop\): size: images of 20x8",
        ),
        ([], Finish(crop_size=9), r"here: 2: crop_size 9 does not fit into an image of 20x8"),
    ):
        with pytest.raises(DataError, match=match):
            own_sizes(Pipeline(FREE, steps, finish, DRAWS), "here: {}".format)
    pipeline = Pipeline(FREE, [], Finish(), DRAWS)
    assert not pipeline.settled
    assert pipeline.shapes_for(lambda: (3, 9, 11)) == ((3, 9, 11), ())
    out = [np.zeros((COUNT, 3, 9, 11)), np.zeros(COUNT)]
    with pytest.raises(DataError, match="sample 2: it is 3x20x8, not 3x9x11 as the first; give all images one size"):
        pipeline.apply_each(zip(IMAGES, LABELS, strict=True), EPOCHS, INDICES, out)
    grey = [IMAGES[0][:1]]
    with pytest.raises(DataError, match="sample 5: it is 1x9x11, not 3xHxW as was planned"):
        pipeline.apply_each(zip(grey, LABELS, strict=False), EPOCHS[:1], INDICES[:1], out)
    with pytest.raises(ShapeError, match="it is 3x9x11, not 3x9x12 as was planned"):
        pipeline.at((3, 9, 12)).apply([BYTES], EPOCHS, INDICES, out)


def test_the_header_says_what_the_layout_is():
    byte, whole = np.dtype(np.uint8), np.dtype(np.int64)
    header = Header({"label": (), "data": (3, 5, 4)}, {"label": whole, "data": byte}, 9, ("a", "b"), varies=True)
    assert layout_of(header, ["data", "label"]) == Layout(((3, 0, 0), ()), (byte, whole), 2)
    assert layout_of(Header.of({"data": FLOATS}), ["data"]) == Layout(((3, 9, 11),), (FLOATS.dtype,), 0)


# --- what a snapshot says ---


@each
def test_what_a_snapshot_says_does_what_a_test_does(fields):
    given = params(fields["type"], crop_size=5, mean_value=[3.0], scale=0.5)
    pipeline = build(given, "train", layout(BYTES, LABELS, classes=5), channel_order="BGR", draws=DRAWS)
    info = sample_info(pipeline, class_names=["a", "b"])
    info = SampleInfo.model_validate_json(info.model_dump_json())
    assert info.class_names == ["a", "b"]
    assert all(step["type"] != "one_hot" for step in info.transform)
    test = build(given, "test", layout(BYTES), channel_order="BGR") if fields["type"] != "one_hot" else None
    if test is not None:
        wanted, found = np.zeros((COUNT, 3, 5, 5), np.float32), np.zeros((COUNT, 3, 5, 5), np.float32)
        test.apply([BYTES], EPOCHS, INDICES, [wanted])
        of_info(info, BYTES.dtype).apply([BYTES], EPOCHS, INDICES, [found])
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("kinds", "fields", "raw_shape"),
    [
        ([], {}, None),
        (["mirror", "normalize"], {}, None),
        (["resize"], {}, [3, 0, 0]),
        ([], {"crop_size": 4}, [3, 0, 0]),
        ([{"type": "resize", "size": 6}], {}, [3, 9, 11]),
    ],
)
def test_raw_samples_may_have_any_size_that_leads_to_the_nets(kinds, fields, raw_shape):
    pipeline = build(params(*kinds, **fields), "test", layout(BYTES))
    info = sample_info(pipeline)
    assert (info.raw_shape, tuple(info.shape)) == (raw_shape, pipeline.shapes[0])
    assert of_info(info, BYTES.dtype).shapes[0] == pipeline.shapes[0] or raw_shape is None


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"transform": [{"type": "wheel"}]}, DataError, "what is done to the samples cannot be read: transform.0: "),
        ({"transform": [{"type": "resize", "sizes": 3}]}, DataError, r"transform\.0\.resize\.\w+: "),
        ({"transform": [{"type": "resize", "size": [4]}]}, ShapeError, "makes them 3x4x4, not 3x9x11"),
        ({"mean_value": [1.0, 2.0]}, ShapeError, "mean_value has 2 values"),
        ({"crop_size": 4}, ShapeError, "makes them 3x4x4, not 3x9x11"),
    ],
)
def test_what_a_snapshot_says_wrongly_is_one_sentence(fields, error, match):
    info = SampleInfo.model_validate({"shape": [3, 9, 11], "raw_shape": [3, 9, 9], **fields})
    with pytest.raises(error, match=match) as caught:
        of_info(info, BYTES.dtype)
    assert "\n" not in str(caught.value)


def test_a_type_is_written_out_although_it_is_a_default():
    class Thing(Tagged):
        type: str = "thing"
        size: int = 3

    assert Thing(size=4).model_dump(exclude_defaults=True) == {"type": "thing", "size": 4}
    assert params("mirror").model_dump(exclude_defaults=True) == {"transform": [{"type": "mirror"}]}
