"""What Caffe does to samples: order of channels, crop, mirror, mean and scale, as in data_transformer.cpp."""

import io

import numpy as np
import pytest
from transform_tools import BYTES, COUNT, DRAWS, EPOCHS, FLOATS, INDICES, LABELS, last, layout, through

from layerkit.datasets.files import blobproto
from layerkit.datasets.transforms import Finish, Layout, TransformParams, build, read_mean
from layerkit.errors import DataError, ShapeError

MEAN = np.random.default_rng(2).normal(100, 30, (3, 9, 11)).astype(np.float32)


def caffe(data, *, phase, crop=0, mirror=False, mean=None, scale=1.0, reverse=False):
    """Element by element, as Caffe's loop does it."""
    k, channels, height, width = data.shape
    size = (crop, crop) if crop else (height, width)
    top = np.zeros((k, channels, *size))
    for n in range(k):
        u = DRAWS.uniform(EPOCHS[n : n + 1], INDICES[n : n + 1], 3)[0]
        h_off = w_off = 0
        if crop and phase == "train":
            h_off, w_off = int(u[0] * (height - crop + 1)), int(u[1] * (width - crop + 1))
        elif crop:
            h_off, w_off = (height - crop) // 2, (width - crop) // 2
        turned = mirror and u[2] < 0.5
        for c, h, w in np.ndindex(channels, *size):
            x = float(data[n, channels - 1 - c if reverse else c, h_off + h, w_off + w])
            if mean is not None:
                x -= float(np.broadcast_to(mean, (channels, height, width))[c, h_off + h, w_off + w])
            top[n, c, h, size[1] - 1 - w if turned else w] = x * scale
    return top


@pytest.mark.parametrize("phase", ["train", "test"])
@pytest.mark.parametrize("crop", [0, 4, 9])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    ("mean", "fields"),
    [
        (None, {}),
        (8.0, {"mean_value": [8.0]}),
        (np.reshape([1.0, 2, 3], (3, 1, 1)), {"mean_value": [1.0, 2.0, 3.0]}),
        (MEAN, {"mean_file": "mean.npy"}),
    ],
    ids=["none", "value", "values", "image"],
)
def test_every_combination_is_caffes(phase, crop, mirror, mean, fields, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mean.npy", MEAN)
    params = TransformParams(crop_size=crop, mirror=mirror, scale=0.25, **fields)
    for data in (BYTES, last(FLOATS)):
        for order in ("RGB", "BGR"):
            pipeline = build(params, phase, layout(data, LABELS), channel_order=order, draws=DRAWS)
            wanted = caffe(data, phase=phase, crop=crop, mirror=mirror, mean=mean, scale=0.25, reverse=order == "BGR")
            assert pipeline.shapes == (wanted.shape[1:], ())
            for out in (np.full(wanted.shape, np.nan), last(np.full(wanted.shape, np.nan, np.float32))):
                before, labels = data.copy(), np.zeros(COUNT)
                pipeline.apply([data, LABELS], EPOCHS, INDICES, [out, labels])
                np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=2e-5)
                assert labels.tolist() == LABELS.tolist()
                np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float64", "bool"])
def test_what_the_source_holds_may_be_of_any_type_and_shape(dtype):
    for data in (BYTES, BYTES[:, 0, 0], BYTES[:, :, :, 0], LABELS):
        data = data.astype(dtype)
        (found,) = through([], data, finish=Finish(scale=0.5, mean_value=(3.0,)), dtype=np.float64)
        np.testing.assert_allclose(found, (data.astype(float) - 3) / 2, rtol=1e-12)


def test_half_are_turned_over_in_every_phase():
    data = np.arange(2.0).reshape(1, 1, 1, 2).repeat(400, axis=0)
    params = TransformParams(mirror=True)
    for phase in ("train", "test"):
        out = np.zeros(data.shape, np.float32)
        build(params, phase, layout(data)).apply([data], np.zeros(400, int), np.arange(400), [out])
        assert 150 < out[:, 0, 0, 0].sum() < 250


@pytest.mark.parametrize(
    ("fields", "shape", "match"),
    [
        ({"mean_value": (1.0, 2.0)}, (3, 9, 11), "mean_value has 2 values, which do not fit samples of shape 3x9x11"),
        ({"mean_value": (1.0, 2.0)}, (), "mean_value has 2 values, which do not fit samples that are single numbers"),
        ({"reverse": True}, (1, 9, 11), "channel_order: samples of shape 1x9x11 have no three channels to reverse"),
        ({"crop_size": 10}, (3, 9, 11), "crop_size 10 does not fit into an image of 9x11"),
        ({"crop_size": 2}, (9, 11), "crop_size takes images of channels x height x width, not samples of shape 9x11"),
        ({"mirror": True}, (9,), "mirror takes images of channels x height x width, not samples of shape 9"),
        (
            {"mean_image": MEAN},
            (3, 9, 12),
            "mean_file: the mean image is 3x9x11, but the samples are 3x9x12",
        ),
    ],
)
def test_what_does_not_fit_the_samples_is_named(fields, shape, match):
    with pytest.raises(ShapeError, match=match) as caught:
        Finish(**fields).plan(Layout((shape, ()), (np.dtype(np.uint8),) * 2))
    assert caught.value.field == match.replace(":", "").split()[0]


def test_a_label_map_would_not_move_along():
    for name, fields in (("crop_size", {"crop_size": 4}), ("mirror", {"mirror": True})):
        with pytest.raises(ShapeError, match=rf"{name}: it moves .* label map of 9x11 would no longer fit"):
            Finish(**fields).plan(layout(BYTES, BYTES[:, 0]))


def test_a_mean_file_may_be_of_several_kinds(tmp_path):
    blobproto.save(tmp_path / "mean.binaryproto", MEAN[np.newaxis])
    np.save(tmp_path / "mean.npy", MEAN.astype(np.float64))
    np.savez(tmp_path / "one.npz", some=MEAN)
    np.savez(tmp_path / "mean.npz", other=MEAN * 2, mean=MEAN[np.newaxis])
    for name in ("mean.binaryproto", "mean.npy", "one.npz", "mean.npz"):
        found = read_mean(str(tmp_path / name))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, MEAN)


def bytes_of(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("mean.png", b"", "mean_file 'mean.png' must be a .binaryproto, .npy or .npz file"),
        ("mean.npy", None, "there is no file 'mean.npy'|cannot read"),
        ("mean.binaryproto", None, "cannot read 'mean.binaryproto'"),
        ("mean.binaryproto", b"\xff\xff", "'mean.binaryproto' is no .binaryproto file, or is damaged"),
        ("mean.npy", b"nothing", "mean.npy"),
        ("mean.npy", bytes_of(MEAN[0]), "'mean.npy' holds float32 of 9x11, not channels x height x width"),
        ("mean.npy", bytes_of(np.array([[["a"]]])), "mean.npy"),
        ("mean.npy", bytes_of(MEAN * np.inf), "'mean.npy' holds values that are not finite"),
    ],
)
def test_a_mean_file_that_cannot_be_used_is_one_sentence(name, content, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=match) as caught:
        build(TransformParams(mean_file=name), "train", layout(BYTES))
    assert "\n" not in str(caught.value)
    assert caught.value.field == "mean_file"


def test_an_npz_of_several_arrays_needs_one_called_mean(tmp_path):
    np.savez(tmp_path / "mean.npz", a=MEAN, b=MEAN)
    with pytest.raises(DataError, match="must hold one array, or one by the name 'mean', but has: a, b"):
        read_mean(str(tmp_path / "mean.npz"))
