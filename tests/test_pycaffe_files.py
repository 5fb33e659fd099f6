"""pycaffe's weights: saved and read in Caffe's files, and shared between nets."""

from __future__ import annotations

import numpy as np
import pytest
from test_pycaffe_net import DEPLOY, TRAINED, filled, weights, writer  # noqa: F401  (a fixture)

import layerkit as lk
import layerkit.pycaffe as caffe
from layerkit.convert import caffemodel
from layerkit.errors import ShapeError, SnapshotError, UsageError


@pytest.mark.parametrize("suffix", ["caffemodel", "caffemodel.h5"])
def test_weights_come_back_from_caffes_files(write, tmp_path, suffix):
    path, file = write(DEPLOY), str(tmp_path / f"net.{suffix}")
    net = filled(path)
    if suffix == "caffemodel":
        net.save(file)
    else:
        net.save_hdf5(file)
    other = caffe.Net(path, caffe.TEST)
    assert not np.array_equal(other.params["ip"][0].data, net.params["ip"][0].data)
    other.copy_from(file)
    for found, expected in zip(weights(other), weights(net), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_caffemodel_has_the_names_and_types_of_the_file(write, tmp_path):
    file = tmp_path / "net.caffemodel"
    filled(write(DEPLOY)).save(file)
    saved = caffemodel.read(file)
    assert [(layer.name, layer.type, layer.bottoms, layer.tops) for layer in saved][1:3] == [
        ("conv.1", "Convolution", ("data",), ("conv.1",)),
        ("relu", "ReLU", ("conv.1",), ("conv.1",)),
    ]
    message = caffe.proto.caffe_pb2.NetParameter.FromString(file.read_bytes())
    assert list(message.layer[3].blobs[0].shape.dim) == [5, 168]


def test_hdf5_may_hold_diffs(write, tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    net = filled(write(TRAINED), caffe.TRAIN)
    net.forward()
    net.backward()
    net.save_hdf5(tmp_path / "net.h5", write_diff=True)
    with h5py.File(tmp_path / "net.h5") as file:
        np.testing.assert_array_equal(file["diff/ip/1"][()], net.params["ip"][1].diff)
        assert file["data/ip/0"].shape == (4, 3)
    other = caffe.Net(write(TRAINED), caffe.TEST)
    other.load_hdf5(tmp_path / "net.h5")
    np.testing.assert_array_equal(other.params["ip"][0].data, net.params["ip"][0].data)


def test_layerkits_snapshots_are_read_too(write, tmp_path):
    net = filled(write(TRAINED), caffe.TRAIN)
    layers = [
        {"name": "x", "type": "Input", "shape": [2, 3]},
        {"name": "ip", "type": "InnerProduct", "bottom": "x", "num_output": 4, "weight_filler": "xavier"},
    ]
    other = lk.Net({"layers": layers})
    lk.snapshot.save_weights(tmp_path / "w.safetensors", other)
    net.copy_from(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(net.params["ip"][0].data, other.params["ip"][0].data)


def test_what_does_not_fit_is_one_sentence(write, tmp_path):
    path, file = write(DEPLOY), str(tmp_path / "net.caffemodel")
    net = filled(path)
    net.save(file)
    wider = caffe.Net(write(DEPLOY.replace("num_output: 5", "num_output: 6"), "wider.prototxt"), caffe.TEST)
    before = weights(wider)
    with pytest.raises(SnapshotError, match=r"does not fit the net: layer 'ip'.*its weight is 6x168, but the saved"):
        wider.copy_from(file)
    for found, expected in zip(weights(wider), before, strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(SnapshotError, match="there is no file"):
        net.copy_from("none.caffemodel")
    with pytest.raises(ShapeError, match=r"'ip.weight' is 6x168 here"):
        wider.share_with(net)
    assert wider.forward()["prob"].shape == (2, 6)


def test_nets_share_weights_but_not_diffs(write):
    text = (
        TRAINED
        + """layer { name: "own" type: "InnerProduct" bottom: "ip" top: "own"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
    )
    net, other = filled(write(text), caffe.TRAIN), filled(write(TRAINED), caffe.TRAIN, seed=1)
    other.params["ip"][0].data[...] = 3
    own, given = net.params["own"][0].data.copy(), net.blobs["data"].data.copy()
    blob = net.params["ip"][0]
    net.share_with(other)
    assert (blob.data == 3).all()
    other.params["ip"][0].data[...] = 4
    assert (net.params["ip"][0].data == 4).all()
    np.testing.assert_array_equal(net.params["own"][0].data, own)
    np.testing.assert_array_equal(net.blobs["data"].data, given)
    net.forward()
    net.backward()
    assert net.params["ip"][0].diff.any()
    assert not other.params["ip"][0].diff.any()
    inner = net.inner
    net.share_with(other)
    assert net.inner is inner  # nothing to do


def test_memory_data_reads_what_is_set(write):
    text = """layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 1 height: 3 width: 4 } }
layer { name: "twice" type: "Power" bottom: "data" top: "twice" power_param { scale: 2 } }
"""
    net = caffe.Net(write(text), caffe.TRAIN)
    data = np.arange(48, dtype=np.float32).reshape(4, 1, 3, 4)
    net.set_input_arrays(data, np.arange(4, dtype=np.float32))
    assert net.forward()["label"].tolist() == [0, 1]
    found = net.forward()
    assert found["label"].tolist() == [2, 3]
    np.testing.assert_array_equal(found["twice"], 2 * data[2:])
    with pytest.raises(UsageError, match="a multiple of 2 samples, the batch's size, not 3"):
        net.set_input_arrays(data[:3], np.arange(3))
    with pytest.raises(UsageError, match="a net that begins with MemoryData, not Input"):
        filled(write(TRAINED)).set_input_arrays(data, np.arange(4))
