"""caffe.io: images, the Transformer, blobs and datums; Classifier and Detector on top of it."""

from __future__ import annotations

import numpy as np
import pytest

import layerkit.pycaffe as caffe
from layerkit.datasets.files import blobproto, datum
from layerkit.errors import DataError, ShapeError, UnknownNameError, UsageError
from layerkit.wire import Message

pillow = pytest.importorskip("PIL.Image", reason="pillow is not installed")


@pytest.fixture(name="picture")
def pictures(tmp_path):
    """`picture(array, mode)` writes a PNG file and returns its path."""

    def write(array: np.ndarray, name: str = "picture.png") -> str:
        pillow.fromarray(array).save(tmp_path / name)
        return str(tmp_path / name)

    return write


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def test_images_are_floats_of_one_at_most(picture, tmp_path):
    color, grey = noise(4, 5, 3), noise(4, 5)
    np.testing.assert_array_equal(caffe.io.load_image(picture(color)), color / np.float32(255))
    loaded = caffe.io.load_image(picture(grey))
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, np.tile(grey[..., None] / np.float32(255), (1, 1, 3)))
    np.testing.assert_array_equal(caffe.io.load_image(picture(grey), color=False)[..., 0], grey / np.float32(255))
    with_alpha = np.concatenate([color, np.full((4, 5, 1), 90, np.uint8)], axis=2)
    np.testing.assert_array_equal(caffe.io.load_image(picture(with_alpha)), color / np.float32(255))
    deep = picture(grey.astype(np.uint16) * 257)
    np.testing.assert_allclose(caffe.io.load_image(deep, color=False)[..., 0], grey / 255, rtol=1e-6)
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="is no image that can be read"):
        caffe.io.load_image(tmp_path / "no.png")


def test_images_are_resized_between_their_pixels():
    ramp = np.tile(np.arange(4, dtype=np.float32)[:, None, None], (1, 3, 3))
    rows = caffe.io.resize_image(ramp, (8, 3))[:, 0, 0]
    np.testing.assert_allclose(rows, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)  # by centres
    many = np.tile(ramp[..., :1], (1, 1, 5))
    np.testing.assert_allclose(caffe.io.resize_image(many, (7, 3))[:, 0, 4], np.arange(7) / 2, atol=1e-6)  # by corners
    np.testing.assert_array_equal(caffe.io.resize_image(ramp, (2, 6), interp_order=0)[:, 5, 0], [1, 3])
    assert caffe.io.resize_image(many, (1, 1)).shape == (1, 1, 5)
    with pytest.raises(UsageError, match=r"by order 0 .* or 1"):
        caffe.io.resize_image(ramp, (2, 2), interp_order=3)


def test_ten_crops_of_each_image():
    images = [noise(6, 7, 3, seed=seed).astype(np.float32) for seed in (0, 1)]
    crops = caffe.io.oversample(images, (4, 3))
    assert crops.shape == (20, 4, 3, 3)
    for crop, (y, x) in zip(crops[10:15], [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)], strict=True):
        np.testing.assert_array_equal(crop, images[1][y : y + 4, x : x + 3])
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    with pytest.raises(UsageError, match="images of 6x7 have no crops of 8x3"):
        caffe.io.oversample(images, (8, 3))


def test_the_transformer_prepares_and_goes_back():
    transformer = caffe.io.Transformer({"data": (10, 3, 6, 8)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 0, 1))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([10.0, 20, 30]))
    transformer.set_input_scale("data", 0.5)
    image = noise(6, 8, 3) / np.float32(255)
    made = transformer.preprocess("data", image)
    expected = (image.transpose(2, 0, 1)[[2, 0, 1]] * 255 - np.reshape([10, 20, 30], (3, 1, 1))) * 0.5
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(transformer.deprocess("data", made[np.newaxis]), image, atol=1e-6)
    assert transformer.preprocess("data", noise(12, 9, 3)).shape == (3, 6, 8)
    transformer.set_mean("data", np.ones((6, 8)))
    assert transformer.mean["data"].shape == (1, 6, 8)
    transformer.set_mean("data", np.tile(np.reshape([4.0, 5, 6], (3, 1, 1)), (1, 12, 12)))  # as of larger images
    np.testing.assert_allclose(transformer.mean["data"], np.tile(np.reshape([4, 5, 6], (3, 1, 1)), (1, 6, 8)))
    for call, error, message in (
        (lambda: transformer.set_mean("image", 1), UnknownNameError, "there is no input 'image'"),
        (lambda: transformer.set_mean("data", np.ones(4)), ShapeError, "the mean has 4 channels, the input 3"),
        (lambda: transformer.set_mean("data", np.ones((2, 6, 8))), ShapeError, "the mean is 2x6x8, the input 3x6x8"),
        (lambda: transformer.set_transpose("data", (1, 0)), ShapeError, "as many axes"),
        (lambda: transformer.set_channel_swap("data", (1, 0)), ShapeError, "as many channels"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_blobs_are_those_of_caffes_files():
    pytest.importorskip("google.protobuf", reason="protobuf is not installed")
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    blob = caffe.io.array_to_blobproto(array, diff=2 * array)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), 2 * array)
    np.testing.assert_array_equal(blobproto.parse(Message(blob.SerializeToString())), array)
    old = caffe.proto.caffe_pb2.BlobProto.FromString(blobproto.serialise(array[np.newaxis], legacy=True))
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(old), array[np.newaxis])
    found = caffe.io.blobprotovector_str_to_arraylist(caffe.io.arraylist_to_blobprotovecor_str([array, array[0]]))
    assert [each.shape for each in found] == [(2, 3, 4), (3, 4)]


def test_datums_are_those_of_caffes_databases():
    pytest.importorskip("google.protobuf", reason="protobuf is not installed")
    pixels = noise(3, 4, 5)
    made = caffe.io.array_to_datum(pixels, 7)
    np.testing.assert_array_equal(caffe.io.datum_to_array(made), pixels)
    read = datum.parse(made.SerializeToString(), "it")
    np.testing.assert_array_equal(read.pixels, pixels)
    assert (read.label, made.label) == (7, 7)
    floats = caffe.io.array_to_datum(pixels / 2)
    assert not floats.HasField("label")
    np.testing.assert_array_equal(caffe.io.datum_to_array(floats), pixels / 2)
    with pytest.raises(ShapeError, match="not an array 4x5"):
        caffe.io.array_to_datum(pixels[0])


NET = """force_backward: true input: "data" input_shape { dim: 4 dim: 3 dim: 6 dim: 6 }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""


@pytest.fixture(name="files")
def net_files(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(tmp_path / "net.prototxt", caffe.TEST).save(tmp_path / "net.caffemodel")
    return tmp_path / "net.prototxt", tmp_path / "net.caffemodel"


def test_a_classifier_means_over_crops(files):
    net = caffe.Classifier(*files, image_dims=(8, 8), mean=np.array([1.0, 2, 3]), raw_scale=255, channel_swap=(2, 1, 0))
    weight, bias = (blob.data for blob in net.params["fc"])
    images = [noise(8, 8, 3, seed=seed) / np.float32(255) for seed in range(3)]

    def score(crop: np.ndarray) -> np.ndarray:
        return weight @ (255 * crop.mean(axis=(0, 1))[::-1] - [1, 2, 3]) + bias

    centre = np.stack([score(image[1:7, 1:7]) for image in images])
    np.testing.assert_allclose(net.predict(images, oversample=False), centre, rtol=1e-4, atol=1e-3)
    mean = np.stack(
        [np.mean([score(crop) for crop in caffe.io.oversample([image], (6, 6))], axis=0) for image in images]
    )
    found = net.predict(images)
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-3)
    assert caffe.Classifier(*files, input_scale=0.5).image_dims == (6, 6)


def test_a_detector_scores_windows(files, picture):
    image = noise(12, 15, 3)
    path = picture(image)
    net = caffe.Detector(*files, mean=np.array([1.0, 2, 3]), raw_scale=255, channel_swap=(2, 1, 0))
    weight, bias = (blob.data for blob in net.params["fc"])
    windows = np.array([[2, 3, 8, 9], [0, 0, 12, 15]])
    found = net.detect_windows([(path, windows)])
    assert [each["filename"] for each in found] == [path, path]
    expected = weight @ (image[2:8, 3:9].mean(axis=(0, 1))[::-1] - [1, 2, 3]) + bias
    np.testing.assert_allclose(found[0]["prediction"], expected, rtol=1e-4, atol=1e-3)
    with_context = caffe.Detector(*files, mean=np.array([1.0, 2, 3]), channel_swap=(2, 1, 0), context_pad=1)
    white = np.ones((12, 15, 3), np.float32)
    inside = with_context.crop(white, [3, 3, 8, 8])
    assert inside.shape == (6, 6, 3)
    np.testing.assert_allclose(inside, 1)
    corner = with_context.crop(white, [0, 0, 5, 5])
    np.testing.assert_allclose(corner[0, 0], [3, 2, 1], atol=0.2)  # nothing, once the mean is subtracted
    np.testing.assert_allclose(corner[3, 3], 1)
    assert caffe.Detector(*files, context_pad=1).crop(white, [0, 0, 5, 5])[0, 0].max() < 0.3
