"""Transforms in runs: in YAML, through phases and snapshots, in resumed and prefetched streams, and in `predict`."""

import json
from pathlib import Path

import numpy as np
import pytest
from data_tools import RNG, layer, net, write_images

import layerkit as lk
from layerkit import arrayfile
from layerkit.datasets.files import blobproto
from layerkit.errors import ConfigError, DataError, ShapeError, SnapshotError
from layerkit.weights import read_weights

TRAIN, TEST = (RNG.integers(0, 256, (n, 3, 10, 12), dtype=np.uint8) for n in (24, 9))
LISTED = layer("ImageData", source="list.txt", batch_size=2)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Paths are short, and the dataset `mine` is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("layerkit.datasets.registered._parts", {})
    parts = {
        name: {"data": data, "label": np.arange(len(data)) % 3} for name, data in (("train", TRAIN), ("test", TEST))
    }
    lk.add_dataset("mine", **parts, class_names=["ant", "bee", "cat"])


def run_of(*sources):
    tail = [
        {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 3, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]},
    ]
    return {
        "name": "r",
        "net": {"layers": [*sources, *tail]},
        "solver": {"base_lr": 0.001, "max_iter": 4, "lr_policy": "fixed"},
    }


def data_layer(**fields):
    return layer("Data", dataset="mine", batch_size=6, **fields)


AUGMENTED = [
    {"type": "pad_crop", "padding": 2},
    "mirror",
    {"type": "color_jitter", "brightness": 0.3, "saturation": 0.2},
    {"type": "normalize", "mean": [120, 110, 100], "std": [60, 61, 62]},
    {"type": "cutout", "length": 3},
]


def test_a_bare_name_and_a_single_transform_are_short_for_a_list():
    short = net(data_layer(transform="mirror"))
    long = net(data_layer(transform=[{"type": "Mirror"}]))
    assert short.layers["data"].params == long.layers["data"].params


def test_the_train_phase_draws_and_the_test_phase_does_not():
    given = data_layer(transform=AUGMENTED, shuffle=False)
    mean, std = (np.reshape(values, (3, 1, 1)) for values in ([120.0, 110, 100], [60.0, 61, 62]))
    train, test = net(given), net(given, phase="test")
    train.forward()
    test.forward()
    np.testing.assert_allclose(test.blobs["data"].data, (TEST[:6] - mean) / std, rtol=1e-5, atol=1e-6)
    assert abs(train.blobs["data"].data - (TRAIN[:6] - mean) / std).max() > 1


def test_a_phase_can_have_a_list_of_its_own():
    given = data_layer(
        transform={
            "train": [{"type": "random_resized_crop", "size": [4, 6]}],
            "test": [{"type": "resize", "size": 5}, {"type": "center_crop", "size": [4, 6]}],
        }
    )
    for phase in ("train", "test"):
        net_ = net(given, phase=phase)
        net_.forward()
        assert net_.blobs["data"].shape == (6, 3, 4, 6)


def test_a_sample_is_drawn_for_by_seed_epoch_and_number_in_any_batch():
    def epochs(batch_size, seed=1):
        source = {**data_layer(transform=AUGMENTED, crop_size=8, mirror=True, shuffle=True), "batch_size": batch_size}
        source["arrays"], found = ["data", "number"], {}
        net_ = net(source, seed=seed)
        for i in range(0, 72, batch_size):
            net_.forward()
            for row, number in enumerate(net_.blobs["label"].data.tolist()):
                found[(i + row) // 24, number] = net_.blobs["data"].data[row].tobytes()
        return found

    lk.add_dataset("mine", train={"data": TRAIN, "number": np.arange(24)})
    one = epochs(4)
    assert one == epochs(6) == epochs(9)
    assert len(one) == 72
    assert all(one[0, number] != one[1, number] for number in range(24))
    assert one != epochs(4, seed=2)


def test_two_sources_draw_each_their_own():
    given = [data_layer(transform=["mirror"], shuffle=False), {**data_layer(transform=["mirror"], shuffle=False)}]
    given[1] |= {"name": "other", "top": ["other", "other_label"]}
    net_ = net(*given)
    net_.forward()
    assert (net_.blobs["data"].data != net_.blobs["other"].data).any()


def test_labels_become_mixtures_to_train_with_and_stay_labels_to_test_with():
    given = data_layer(transform=["mixup"], shuffle=False)
    train, test = net(given), net(given, phase="test")
    train.forward()
    test.forward()
    assert train.blobs["label"].shape == (6, 3)
    np.testing.assert_allclose(train.blobs["label"].data.sum(axis=1), 1, rtol=1e-6)
    assert test.blobs["label"].shape == (6,)
    both = net(data_layer(transform=["one_hot", "mixup"]), phase="test")
    both.forward()
    assert both.blobs["label"].shape == (6, 3)


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path):
    run = run_of(data_layer(transform=AUGMENTED, crop_size=8, mirror=True))
    whole = lk.Solver(run)
    whole.step(4)
    first = lk.Solver(run)
    first.step(2)
    first.snapshot("half")
    again = lk.Solver(run)
    again.restore("half.state.safetensors")
    again.step(2)
    for key, array in whole.net.flat.arrays().items():
        np.testing.assert_array_equal(again.net.flat.arrays()[key], array)


# --- snapshots and predict ---

MEAN = RNG.normal(100, 20, (3, 10, 12)).astype(np.float32)


def trained(*sources):
    """A solver after a step, its snapshot loaded, and the test phase's first batch of data."""
    solver = lk.Solver(run_of(*sources))
    solver.step(1)
    loaded = lk.load(solver.snapshot("s"))
    test = lk.Net(run_of(*sources), "test", weights="s.safetensors")
    test.forward()
    return solver, loaded, test


@pytest.mark.parametrize(
    "fields",
    [
        {"transform": AUGMENTED},
        {"transform": [{"type": "random_resized_crop", "size": [7, 6]}, {"type": "normalize", "mean": 100, "std": 50}]},
        {"transform": [{"type": "resize", "size": 8}, {"type": "random_crop", "size": 7}, "mirror"], "scale": 0.01},
        {"crop_size": 6, "mean_value": [1, 2, 3], "scale": 0.1, "channel_order": "BGR"},
        {"crop_size": 6, "mean_file": "mean.binaryproto", "scale": 0.1, "channel_order": "BGR"},
        {"mean_file": "mean.npy"},
    ],
    ids=["augmented", "resized", "shorter side", "caffe", "mean image", "whole mean image"],
)
def test_a_snapshot_does_to_raw_samples_what_the_test_phase_does(fields):
    np.save("mean.npy", MEAN)
    blobproto.save("mean.binaryproto", MEAN[np.newaxis])
    solver, loaded, test = trained(data_layer(**fields))
    Path("mean.npy").unlink()
    Path("mean.binaryproto").unlink()
    names = loaded.predict(TEST[:6])
    np.testing.assert_allclose(loaded.blobs["data"].data, test.blobs["data"].data, rtol=1e-6, atol=1e-6)
    assert names == [["ant", "bee", "cat"][k] for k in test.blobs["fc"].data.argmax(axis=1)]
    assert loaded.predict(TEST[2]) == names[2]
    assert set(read_weights("s.safetensors")) == set(solver.net.flat.arrays())


def test_a_snapshot_is_saved_again_and_loaded_into_other_nets():
    np.save("mean.npy", MEAN)
    _, loaded, _ = trained(data_layer(mean_file="mean.npy"))
    np.testing.assert_array_equal(loaded.graph.samples["data"].mean_image, MEAN)
    other = lk.Net(run_of(data_layer()), "test", weights="s.safetensors")
    np.testing.assert_array_equal(other.params["fc"].weight.data, loaded.params["fc"].weight.data)


def test_predict_takes_images_of_any_size_where_the_net_gives_them_one():
    _, loaded, _ = trained(data_layer(transform=[{"type": "resize", "size": [7, 6], "fit": "cover"}]))
    images = [RNG.integers(0, 256, (3, *size), dtype=np.uint8) for size in ((10, 12), (30, 20), (7, 6))]
    names = loaded.predict(images)
    together = loaded.blobs["data"].data.copy()
    assert len(names) == 3
    for i, image in enumerate(images):
        assert loaded.predict(image) == names[i]
        np.testing.assert_array_equal(loaded.blobs["data"].data[0], together[i])
    with pytest.raises(ShapeError, match=r"predict takes one sample of 3xHxW or a batch of them, not 1x7x6"):
        loaded.predict(np.zeros((1, 7, 6)))
    with pytest.raises(ShapeError, match=r"sample 1: it is 2x30x20, not 3xHxW"):
        loaded.predict([images[0], images[1][:2]])


def test_predict_says_which_image_is_too_small():
    _, loaded, _ = trained(data_layer(crop_size=6))
    images = [np.zeros((3, 8, 9)), np.zeros((3, 5, 9))]
    with pytest.raises(ShapeError, match="sample 1: crop_size 6 does not fit into an image of 5x9"):
        loaded.predict(images)
    with pytest.raises(ShapeError, match="crop_size 6 does not fit into an image of 5x9"):
        loaded.predict(images[1])


def test_images_of_files_are_predicted_from_as_they_are():
    pixels = [image.transpose(2, 0, 1) for image in write_images(4, height=9, width=13)]
    Path("list.txt").write_text("".join(f"{i}.png {i % 3}\n" for i in range(4)))
    given = {
        **LISTED,
        "new_height": 8,
        "new_width": 7,
        "transform": ["mirror"],
        "crop_size": 5,
        "mean_value": [1, 2, 3],
    }
    _, loaded, test = trained(given)
    loaded.predict(np.array(pixels[:2]))
    np.testing.assert_allclose(loaded.blobs["data"].data, test.blobs["data"].data, rtol=1e-6)
    assert loaded.predict(RNG.integers(0, 256, (3, 50, 40), dtype=np.uint8)).shape == (3,)


def test_files_of_several_sizes_need_only_a_resize():
    for i, (height, width) in enumerate([(9, 13), (20, 8), (8, 30)]):
        write_images(1, height=height, width=width)
        Path("0.png").rename(f"of{i}.png")
    Path("list.txt").write_text("of0.png 0\nof1.png 1\nof2.png 2\n")
    net_ = net({**LISTED, "batch_size": 3, "transform": [{"type": "random_resized_crop", "size": 6}, "mirror"]})
    net_.forward()
    assert net_.blobs["data"].shape == (3, 3, 6, 6)
    assert net_.blobs["label"].data.tolist() == [0, 1, 2]
    net_ = net({**LISTED, "batch_size": 3, "transform": [{"type": "center_crop", "size": 9}]})
    with pytest.raises(
        DataError, match=r"'list.txt', line 2, 'of1.png': transform\[0\] \(center_crop\): size: images of"
    ):
        net_.forward()
    net_ = net({**LISTED, "batch_size": 1, "transform": [{"type": "resize", "size": 4}]})
    shapes = []
    for _ in range(3):
        net_.forward()
        shapes.append(net_.blobs["data"].shape)
    assert shapes == [(1, 3, 4, 5), (1, 3, 10, 4), (1, 3, 4, 15)]


def test_a_snapshot_of_an_older_layerkit_still_loads():
    _, loaded, _ = trained(data_layer(scale=0.5))
    arrays, notes = arrayfile.load("s.safetensors")
    about = json.loads(notes["layerkit"])
    for name in ("raw_shape", "transform", "crop_size", "mean_shape"):
        del about["samples"]["data"][name]
    arrayfile.save("old.safetensors", arrays, {"layerkit": json.dumps(about)})
    assert lk.load("old.safetensors").predict(TEST) == loaded.predict(TEST)


def test_a_snapshot_without_its_mean_image_is_refused():
    np.save("mean.npy", MEAN)
    trained(data_layer(mean_file="mean.npy"))
    arrays, notes = arrayfile.load("s.safetensors")
    kept = {name: array for name, array in arrays.items() if not name.startswith(".")}
    assert len(arrays) == len(kept) + 1
    arrayfile.save("less.safetensors", kept, notes)
    with pytest.raises(SnapshotError, match="there is no mean image of 3x10x12 for the input 'data'"):
        lk.load("less.safetensors")


def test_a_mean_image_of_windows_is_the_square_in_its_middle():
    write_images(1, height=8, width=9)
    Path("windows.txt").write_text("# 0\n0.png\n3\n8\n9\n2\n5 0.9 1 2 6 7\n3 0.2 0 0 5 5\n")
    np.save("mean.npy", MEAN)
    windows = layer("WindowData", source="windows.txt", batch_size=4, crop_size=6, mean_file="mean.npy")
    info = net(windows, {"name": "relu", "type": "ReLU", "bottom": "data"}, phase="predict").graph.samples["data"]
    np.testing.assert_array_equal(info.mean_image, MEAN[:, 3:9, 3:9])  # (12 - 6) / 2, downwards too
    with pytest.raises(ConfigError, match="mean_file: the mean image is 3x10x12, which holds no 3x11x11"):
        net({**windows, "crop_size": 11})
