"""Sources that make their batches ahead: the same batches, whoever makes them, and samples that are left out."""

import gc
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from data_tools import batches, layer, net, write_image, write_images

import layerkit as lk
from layerkit.errors import DataError

KINDS = [
    {"prefetch": 1},
    {"prefetch": 4, "workers": 3},
    {"prefetch": 3, "workers": 2, "worker_type": "processes"},
]
IMAGES = layer("ImageData", source="list.txt", batch_size=2, shuffle=True, crop_size=3, mirror=True)


@pytest.fixture(autouse=True)
def _images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(5)


def seen(source, count):
    """All that the next batches hold."""
    found = []
    for _ in range(count):
        source.forward()
        found.append([source.blobs[name].data.copy() for name in ("data", "label")])
    return found


def assert_same(found, wanted):
    for batch, other in zip(found, wanted, strict=True):
        for array, expected in zip(batch, other, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("how", KINDS, ids=str)
@pytest.mark.parametrize("phase", ["train", "test"])
def test_batches_are_the_same_whoever_makes_them(how, phase):
    wanted = seen(net({**IMAGES, "prefetch": 0}, phase=phase), 7)
    ahead = net({**IMAGES, **how}, phase=phase)
    assert_same(seen(ahead, 7), wanted)
    ahead.layers["data"].rewind()
    assert_same(seen(ahead, 2), wanted[:2])
    ahead.layers["data"].state.consumed[0] = 4
    assert_same(seen(ahead, 3), wanted[2:5])
    ahead.close()
    assert_same(seen(ahead, 2), wanted[5:7])
    ahead.close()


@pytest.mark.parametrize("how", [{}, *KINDS], ids=str)
def test_windows_are_the_same_whoever_draws_them(how):
    Path("windows.txt").write_text(
        "".join(f"# {i}\n{i}.png\n3\n4\n5\n2\n{i + 1} 0.9 1 0 4 3\n7 0.3 0 0 3 3\n" for i in range(5))
    )
    windows = layer("WindowData", source="windows.txt", batch_size=3, crop_size=4, mirror=True, mean_value=[9])
    wanted = seen(net({**windows, "prefetch": 0}), 5)
    ahead = net({**windows, **how})
    assert_same(seen(ahead, 5), wanted)
    ahead.layers["data"].state.consumed[0] = 6
    assert_same(seen(ahead, 2), wanted[2:4])
    assert ahead.layers["data"].batches() == 4
    ahead.close()


def test_a_net_that_is_forgotten_leaves_no_threads():
    ahead = net({**IMAGES, "prefetch": 2})
    ahead.forward()
    assert any(thread.name.startswith("layerkit batches") for thread in threading.enumerate())
    del ahead
    gc.collect()
    assert not any(thread.name.startswith("layerkit batches") for thread in threading.enumerate())


@pytest.mark.parametrize("how", [{"prefetch": 0}, *KINDS], ids=str)
def test_an_image_that_cannot_be_read_stops_its_own_batch(how):
    Path("3.png").write_bytes(b"nothing")
    source = net(layer("ImageData", source="list.txt", batch_size=2, **how))
    assert batches(source, 1) == [[10, 11]]
    for _ in range(2):
        with pytest.raises(DataError, match=r"^layer 'data' \(ImageData\): 'list.txt', line 4: '3.png' is no image"):
            source.forward()
    source.close()


@pytest.mark.parametrize("how", [{"prefetch": 0}, *KINDS], ids=str)
def test_images_that_cannot_be_read_can_be_left_out(how):
    Path("3.png").write_bytes(b"nothing")
    source = net(layer("ImageData", source="list.txt", batch_size=2, on_error="skip", **how))
    assert batches(source, 5) == [[10, 11], [12], [14, 10], [11, 12], [14]]
    skipped = source.layers["data"].skipped
    assert list(skipped.values()) == [2]
    assert next(iter(skipped)).startswith("'list.txt', line 4: '3.png' is no image")
    assert source.layers["data"].waited > 0
    source.close()


UNFIT = [
    ({"crop_size": 4}, r"crop_size 4 does not fit into an image of 3x9"),
    ({"transform": {"type": "random_crop", "size": 4}}, r"transform\[0\] \(random_crop\): size: images of 3x9 are "),
    ({}, r"it is 3x3x9, not 3x4x5 as the first; give all images one size, by a resize or a crop"),
]


@pytest.mark.parametrize("how", [{"prefetch": 0}, *KINDS[:2]], ids=str)
@pytest.mark.parametrize(("fields", "reason"), UNFIT)
def test_images_that_do_not_fit_can_be_left_out(fields, reason, how):
    write_image("3.png", 3, 9)
    data = layer("ImageData", source="list.txt", batch_size=2, **fields, **how)
    wanted = seen(net(data), 1)
    source = net({**data, "on_error": "skip"})
    assert_same(seen(source, 1), wanted)
    assert batches(source, 3) == [[12], [14, 10], [11, 12]]
    (note,) = source.layers["data"].skipped
    assert re.search(rf"^'list.txt', line 4, '3.png': {reason}", note)
    source.close()


def test_labels_that_are_no_classes_can_be_left_out_and_are_named():
    np.savez("x.npz", data=np.zeros((4, 2)), label=np.array([1, 5, 0, 2]))
    data = layer("Data", source="x.npz", batch_size=2, shuffle=False, transform={"type": "one_hot", "num_classes": 3})
    what = "transform[0] (one_hot): label 5 of sample 1 of 'x.npz' is no class, which are 0 to 2"
    with pytest.raises(DataError, match=re.escape(what)):
        net(data).forward()
    source = net({**data, "on_error": "skip"})
    source.forward()
    assert source.blobs["label"].data.tolist() == [[0, 1, 0]]
    assert list(source.layers["data"].skipped) == [what]


def test_an_image_of_its_own_size_can_be_left_out_too():
    write_image("1.png", 3, 9)
    Path("2.png").write_bytes(b"nothing")
    source = net(layer("ImageData", source="list.txt", batch_size=1, on_error="skip"))
    assert _shapes(source, 4) == [(1, 3, 4, 5), (1, 3, 3, 9), (0, 3, 4, 5), (1, 3, 4, 5)]
    source = net(layer("ImageData", source="list.txt", batch_size=1))
    source.forward()
    source.forward()
    with pytest.raises(DataError, match=r"line 3: '2\.png' is no image"):
        source.forward()


def _shapes(source, count):
    return [batch[0].shape for batch in seen(source, count)]


def test_a_batch_may_be_left_with_nothing():
    for i in (2, 3):
        Path(f"{i}.png").write_bytes(b"nothing")
    source = net(layer("ImageData", source="list.txt", batch_size=2, on_error="skip"), phase="test")
    assert batches(source, 3) == [[10, 11], [], [14]]


def test_the_record_tells_of_samples_that_were_left_out(tmp_path):
    Path("3.png").write_bytes(b"nothing")
    data = layer("ImageData", source="list.txt", batch_size=2, on_error="skip")
    fc = {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 15, "weight_filler": "xavier"}
    loss = {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]}
    solver = {"base_lr": 1e-6, "max_iter": 10, "display": 2}
    lk.Solver({"net": {"layers": [data, fc, loss]}, "solver": solver}, folder=tmp_path / "run").solve()
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    told = [event for event in events if event.get("event") == "skipped"]
    counts = [(event["layer"], event["phase"], event["samples"], event["different"]) for event in told]
    assert counts == [
        ("data", "train", 1, 1),
        ("data", "train", 4, 1),
    ]  # at the first display behind it, and at the end
    assert "'3.png' is no image" in told[0]["first"]


def test_a_test_says_how_many_samples_were_left_out(command):
    write_images(5)
    Path("3.png").write_bytes(b"nothing")
    Path("run.yaml").write_text(
        "layers:\n"
        "  - {name: data, type: ImageData, top: [data, label], source: list.txt, batch_size: 2, on_error: skip}\n"
        "  - {name: fc, type: InnerProduct, bottom: data, num_output: 15}\n"
        "  - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}\n"
    )
    lk.Net("run.yaml", "test")
    lk.Solver({"net": "run.yaml", "solver": {"base_lr": 0.01, "max_iter": 1}}).snapshot("w")
    answer = command("test", "run.yaml", "--weights", "w.safetensors")
    assert answer.status == 0
    assert "4 samples\ndata (test): left out 1 sample that cannot be used; the first: " in answer.err


def test_arrays_of_this_process_stay_here():
    lk.add_dataset("arrays in memory", train={"data": np.zeros((4, 2)), "label": np.arange(4)})
    data = layer("Data", dataset="arrays in memory", batch_size=2, prefetch=1, worker_type="processes")
    with pytest.raises(DataError, match="exist in this process only; use worker_type: threads"):
        net(data).forward()


def test_samples_in_memory_are_not_made_ahead():
    source = net(layer("Data", dataset="digits", batch_size=4))
    source.forward()
    assert source.layers["data"]._ahead is None
