"""The sources over files and given arrays: streams, files written, sizes, and what is said of bad input."""

import gc
import sys
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_tools import RNG, batches, layer, net, write_files, write_h5, write_images

import layerkit as lk
from layerkit import prediction
from layerkit.errors import ConfigError, DataError, SnapshotError, UsageError


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Paths are short: the tests' files lie in the current directory."""
    monkeypatch.chdir(tmp_path)


# --- all of them: positions ---


def write_all():
    for i in range(2):
        write_h5(f"{i}.h5", data=RNG.normal(size=(3 + i, 3, 4, 4)).astype("f"), label=np.arange(3 + i) % 2)
    write_files("0.h5", "1.h5")
    write_images(7)
    text = "".join(f"# {i}\n{i}.png\n3\n4\n5\n2\n1 0.9 0 0 3 2\n0 0.1 1 1 4 3\n" for i in range(7))
    Path("windows.txt").write_text(text)
    Path("list.txt").write_text("".join(f"{i}.png {i % 2}\n" for i in range(7)))


SOURCES = {
    "hdf5": layer("HDF5Data", source="files.txt", batch_size=3, shuffle=True),
    "images": layer(
        "ImageData", source="list.txt", batch_size=3, shuffle=True, rand_skip=3, crop_size=4, mirror=True, scale=0.01
    ),
    "windows": layer("WindowData", source="windows.txt", batch_size=3, fg_fraction=0.5, crop_size=4, scale=0.01),
}


@pytest.mark.parametrize("source", list(SOURCES))
def test_a_resumed_run_sees_what_the_uninterrupted_one_sees(source):
    write_all()
    layers = [SOURCES[source], {"name": "fc", "type": "InnerProduct", "num_output": 2, "weight_filler": "xavier"}]
    layers += [{"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]}]
    run = {"name": "run", "net": {"layers": layers}, "solver": {"base_lr": 0.1, "max_iter": 8, "random_seed": 4}}
    whole, begun, resumed = (lk.Solver(run) for _ in range(3))
    whole.step(8)
    begun.step(3)
    begun.snapshot("half")
    resumed.restore("half.state.safetensors")
    resumed.step(5)
    assert whole.net.flat.values.tobytes() == resumed.net.flat.values.tobytes()


@pytest.mark.parametrize("source", list(SOURCES))
def test_it_gives_way_to_an_input_in_predict(source):
    write_all()
    net_ = net(SOURCES[source], {"name": "fc", "type": "InnerProduct", "num_output": 2}, phase="predict")
    assert type(net_.layers["data"]).__name__ == "Input"
    info = net_.graph.samples["data"]
    assert info.shape == [3, 4, 4]
    assert info.channel_order == ("RGB" if source == "hdf5" else "BGR")


@pytest.mark.parametrize("source", list(SOURCES))
def test_a_source_that_is_not_open_says_so(source):
    write_all()
    net_ = net(SOURCES[source])
    for call in (lambda: net_.layers["data"].forward([], []), net_.layers["data"].batches):
        with pytest.raises(UsageError, match="'data' is not open"):
            call()
    net_.open()
    assert net_.layers["data"].batches() == {"hdf5": 3, "images": 3, "windows": 5}[source]
    net_.close()
    with pytest.raises(UsageError, match="not open"):
        net_.layers["data"].batches()


@pytest.mark.parametrize(("module", "source"), [("h5py", "hdf5"), ("PIL.Image", "images"), ("PIL.Image", "windows")])
def test_a_package_that_is_missing_is_named_with_its_command(monkeypatch, module, source):
    write_all()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises((DataError, ConfigError), match=r"is not installed: pip install 'layerkit\[data\]'") as caught:
        net(SOURCES[source]).open()
    assert "\n" not in str(caught.value)


# --- MemoryData ---

MEMORY = layer("MemoryData", batch_size=4, channels=2, height=3, width=5)
DATA = RNG.normal(size=(6, 2, 3, 5))


def test_given_arrays_go_round_to_train():
    net_ = net(MEMORY)
    net_.layers["data"].set_arrays(DATA, np.arange(6).reshape(6, 1, 1, 1))
    assert batches(net_, 3) == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]]
    np.testing.assert_array_equal(net_.blobs["data"].data, DATA[2:].astype("f"))
    net_.layers["data"].set_arrays(DATA[3:], [7, 8, 9])
    assert batches(net_, 1) == [[7, 8, 9, 7]]
    DATA[3] += 1
    net_.layers["data"].rewind()
    batches(net_, 1)
    np.testing.assert_array_equal(net_.blobs["data"].data[0], DATA[3].astype("f"))


def test_a_test_of_given_arrays_ends_with_a_smaller_batch():
    net_ = net(MEMORY, phase="test")
    net_.layers["data"].set_arrays(DATA, np.arange(6))
    assert batches(net_, 3) == [[0, 1, 2, 3], [4, 5], [0, 1, 2, 3]]
    assert net_.layers["data"].batches() == 2


def test_without_labels_they_are_zero():
    net_ = net(MEMORY)
    net_.layers["data"].set_arrays(DATA)
    assert batches(net_, 1) == [[0, 0, 0, 0]]


def test_memory_data_without_arrays_says_how_to_set_them(command):
    with pytest.raises(DataError, match=r"has no samples yet; call net\.layers\['data'\]\.set_arrays\(data, label\)"):
        net(MEMORY).forward()
    Path("net.yaml").write_text(
        "layers: [{name: d, type: MemoryData, batch_size: 2, channels: 1, height: 1, width: 1}]"
    )
    answer = command("check", "net.yaml")
    assert answer.status == 0
    assert "its samples are given in Python, by net.layers['d'].set_arrays" in answer.err


@pytest.mark.parametrize(
    ("data", "label", "kind", "match"),
    [
        (DATA[:, :1], None, DataError, "data must be n x 2x3x5, not 6x1x3x5"),
        (DATA[0], None, DataError, "data must be n x 2x3x5, not 2x3x5"),
        (DATA, [1, 2], DataError, "one label a sample: 6, not 2"),
        (np.where(DATA[4, 1, 1, 1] == DATA, np.nan, DATA), None, DataError, "'data' holds nan in sample 4"),
        (DATA[:0], None, DataError, "holds nothing"),
        (DATA.astype(str), None, DataError, "holds values of type"),
    ],
)
def test_given_arrays_that_do_not_fit(data, label, kind, match):
    with pytest.raises(kind, match=match):
        net(MEMORY).layers["data"].set_arrays(data, label)


# --- HDF5Data ---


def test_a_top_is_the_dataset_of_its_name():
    write_h5(x=np.arange(12.0).reshape(4, 3), y=np.arange(4)[:, np.newaxis], z=np.zeros(4))
    write_files("a.h5")
    net_ = net(layer("HDF5Data", top=["y", "x"], source="files.txt", batch_size=2))
    net_.forward()
    assert net_.blobs["y"].data.tolist() == [[0], [1]]
    assert net_.blobs["x"].data.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_epoch_takes_each_sample_once_and_file_by_file():
    for i, count in enumerate((3, 5, 4)):
        write_h5(f"{i}.h5", data=np.zeros(count), label=10 * i + np.arange(count))
    write_files("0.h5", "", "1.h5", "2.h5")
    source = layer("HDF5Data", source="files.txt", batch_size=6, shuffle=True)
    net_ = net(source, seed=2)
    epochs = [[label for batch in batches(net_, 2) for label in batch] for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    for epoch in epochs:
        assert sorted(epoch) == [0, 1, 2, 10, 11, 12, 13, 14, 20, 21, 22, 23]
        files = [label // 10 for label in epoch]
        assert sum(a != b for a, b in pairwise(files)) == 2
    assert batches(net({**source, "batch_size": 12}, seed=2), 1) == epochs[:1]
    assert [len(batch) for batch in batches(net({**source, "batch_size": 5}, phase="test"), 3)] == [5, 5, 2]


@pytest.mark.parametrize(
    ("write", "match"),
    [
        (lambda: Path("files.txt").unlink(), "there is no file 'files.txt'"),
        (lambda: Path("files.txt").write_text(" \n"), "'files.txt' lists nothing"),
        (lambda: Path("files.txt").write_bytes(b"\xff\xfe\x00"), "'files.txt' is no list"),
        (lambda: write_files("a.h5", "b.h5", "c.h5"), "'files.txt', line 3: there is no file 'c.h5'"),
        (lambda: Path("b.h5").write_text("x"), "'files.txt', line 2: 'b.h5' is no HDF5 file that can be read"),
        (lambda: write_h5("b.h5", data=np.ones((2, 3))), "line 2: 'b.h5' has no dataset 'label'; it holds: data"),
        (lambda: write_h5("b.h5"), "'b.h5' has no dataset 'data'; it holds: nothing"),
        (
            lambda: write_h5("b.h5", data=np.ones((2, 3)), label=[1]),
            "same number of samples, but have: data 2, label 1",
        ),
        (lambda: write_h5("b.h5", data=np.ones((2, 4)), label=[1, 2]), "samples of 'data' are 4, but 3 in 'a.h5'"),
        (lambda: write_h5("b.h5", data=np.ones((0, 3)), label=[]), "'b.h5': 'data' of shape 0x3 holds nothing"),
        (lambda: write_h5("b.h5", data=[b"x"], label=[1]), "'b.h5': 'data' holds values of type"),
    ],
)
def test_hdf5_files_that_do_not_fit(write, match):
    for name in ("a.h5", "b.h5"):
        write_h5(name, data=np.ones((2, 3)), label=[1, 2])
    write_files("a.h5", "b.h5")
    write()
    with pytest.raises(ConfigError, match=match) as caught:
        net(layer("HDF5Data", source="files.txt", batch_size=2))
    assert "\n" not in str(caught.value)


def test_hdf5_values_are_looked_at_when_a_file_is_read():
    write_h5(data=np.array([[1.0], [np.inf]]), label=[0, 1])
    write_files("a.h5")
    net_ = net(layer("HDF5Data", source="files.txt", batch_size=2))
    with pytest.raises(DataError, match=r"layer 'data' \(HDF5Data\): 'a.h5': 'data' holds inf in sample 1"):
        net_.forward()


def test_hdf5_files_that_changed_after_planning_are_refused():
    write_h5(data=np.ones((3, 1)), label=[0, 1, 2])
    write_files("a.h5")
    net_ = net(layer("HDF5Data", source="files.txt", batch_size=2))
    write_h5(data=np.ones((4, 1)), label=[0, 1, 2, 3])
    with pytest.raises(DataError, match="have changed since the net was planned; build the net again"):
        net_.open()


def test_other_names_than_the_tops_are_counted():
    write_h5(data=np.ones((3, 1)), label=[0, 1, 2])
    write_files("a.h5")
    with pytest.raises(ConfigError, match="it has 2 tops, but arrays names 1"):
        net(layer("HDF5Data", source="files.txt", batch_size=2, arrays=["data"]))


# --- HDF5Output ---


def writer(**options):
    inputs = [{"name": "x", "type": "Input", "shape": [3, 2]}, {"name": "y", "type": "Input", "shape": [3]}]
    return net(*inputs, {"name": "out", "type": "HDF5Output", "bottom": ["x", "y"], "file_name": "out.h5"}, **options)


def test_what_is_written_is_read_again():
    net_, x, y = writer(), RNG.normal(size=(8, 2)).astype("f"), np.arange(8)
    Path("out.h5").write_text("before")
    for rows in (slice(0, 3), slice(3, 6), slice(6, 8)):
        net_.forward(x=x[rows], y=y[rows])
        assert Path("out.h5").read_text() == "before"
    net_.close()
    write_files("out.h5")
    read = net(layer("HDF5Data", source="files.txt", batch_size=8))
    read.forward()
    np.testing.assert_array_equal(read.blobs["data"].data, x)
    assert read.blobs["label"].data.tolist() == y.tolist()
    assert not list(Path().glob(".*"))
    net_.forward(x=x[:3], y=y[:3])
    net_.close()
    with h5py.File("out.h5") as file:
        assert file["data"].shape == (3, 2)


def test_a_file_that_is_never_closed_leaves_nothing():
    net_ = writer()
    net_.forward(x=np.ones((3, 2)), y=np.ones(3))
    assert len(list(Path().glob(".out.h5.*.tmp"))) == 1
    del net_
    gc.collect()
    assert list(Path().iterdir()) == []


def test_a_net_that_never_ran_writes_no_file():
    writer().close()
    assert list(Path().iterdir()) == []


def test_two_nets_may_write_at_the_same_time():
    first, second = writer(), writer()
    for each, rows in ((first, 3), (second, 2), (first, 3)):
        each.forward(x=np.ones((rows, 2)), y=np.ones(rows))
    for each, rows in ((first, 6), (second, 2)):
        each.close()
        with h5py.File("out.h5") as file:
            assert file["label"].shape == (rows,)


def test_rows_of_another_shape_cannot_follow():
    net_ = writer()
    net_.forward(x=np.ones((3, 2)), y=np.ones(3))
    with pytest.raises(DataError, match=r"\(HDF5Output\): the samples of 'data' in 'out.h5' are 2, so 4 cannot follow"):
        net_.forward(x=np.ones((3, 4)), y=np.ones(3))


def test_where_nothing_can_be_written():
    net_ = net(
        {"name": "x", "type": "Input", "shape": [2]},
        {"name": "out", "type": "HDF5Output", "bottom": ["x", "x"], "file_name": "none/out.h5"},
    )
    with pytest.raises(DataError, match=r"cannot write 'none.*out.h5': there is no folder 'none'"):
        net_.forward(x=[1, 2])
    for shapes in ([[2], [3]], [[], []]):
        inputs = {"name": "in", "type": "Input", "top": ["x", "y"], "shape": shapes}
        with pytest.raises(ConfigError, match="the bottoms must have the same length along axis 0, but are"):
            net(inputs, {"name": "out", "type": "HDF5Output", "bottom": ["x", "y"], "file_name": "a.h5"})


def test_it_is_no_part_of_predict_and_of_no_snapshot():
    layers = [
        {"name": "x", "type": "Input", "shape": [3, 2]},
        {"name": "fc", "type": "InnerProduct", "num_output": 2, "weight_filler": "xavier"},
        {"name": "relu", "type": "ReLU"},
        {"name": "out", "type": "HDF5Output", "bottom": ["fc", "x"], "file_name": "out.h5"},
    ]
    assert list(net(*layers, phase="predict").layers) == ["x", "fc", "relu"]
    with pytest.raises(SnapshotError, match="it has a HDF5Output layer, and a snapshot reads no other files"):
        prediction.build({"net": {"layers": layers}}, {})
    loss = {"name": "loss", "type": "InfogainLoss", "bottom": ["fc", "x"], "source": "secret.npy"}
    with pytest.raises(SnapshotError, match="it has a InfogainLoss layer"):
        prediction.build({"net": {"layers": [*layers[:2], loss]}}, {})
