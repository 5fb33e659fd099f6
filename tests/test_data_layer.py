"""Data: batches are a function of seed and position; passes, parts, transformations and errors."""

from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from layerkit.blob import Blob
from layerkit.datasets import add_dataset, registered
from layerkit.errors import DataError, ShapeError, UnknownNameError, UsageError
from layerkit.registry import layer_class

Data = layer_class("Data")
N = 10


@pytest.fixture(autouse=True)
def _count(monkeypatch):
    """`count`: sample i is i everywhere, its label is i + 100, so that a batch shows what it holds."""
    monkeypatch.setattr(registered, "_parts", {})
    data = np.arange(N, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * np.ones((1, 3, 2, 4), np.uint8)
    arrays = {"data": data, "label": np.arange(N) + 100}
    add_dataset("count", train=arrays, test=arrays)


class Run:
    """A Data layer as the net would run it."""

    def __init__(self, phase="train", tops=2, seed=0, consumed=0, dtype=np.float32, **params):
        params = {"dataset": "count", "batch_size": 4, **params}
        self.layer = layer = Data(Data.Params.model_validate(params), phase, tops)
        self.plan = plan = layer.plan()
        layer.generator = lambda *key: np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        layer.scratch = SimpleNamespace(**{s.name: np.zeros(s.shape, s.dtype) for s in plan.scratch})
        layer.state = SimpleNamespace(consumed=np.full((1,), consumed, "int64"))
        self.tops = [Blob(shape, dtype) for shape in plan.tops]
        layer.open()

    def batch(self) -> list[int]:
        self.layer.forward([], self.tops)
        return self.tops[0].data.reshape(len(self.tops[0].data), -1)[:, 0].astype(int).tolist()

    def stream(self, batches: int) -> list[int]:
        return [index for _ in range(batches) for index in self.batch()]


def test_every_epoch_is_a_shuffle_of_its_own_and_batches_wrap():
    run = Run()
    stream = run.stream(10)  # 40 samples: four epochs
    assert run.tops[0].shape == (4, 3, 2, 4)
    assert run.tops[1].shape == (4,)
    epochs = [stream[start : start + N] for start in range(0, 40, N)]
    assert all(sorted(epoch) == list(range(N)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert run.layer.state.consumed.tolist() == [40]
    assert epochs[2] == Run().layer.generator(2).permutation(N).tolist()


def test_labels_stay_with_their_samples():
    run = Run(batch_size=7)
    for _ in range(5):
        samples = run.batch()
        assert [label - 100 for label in run.tops[1].data.astype(int).tolist()] == samples


def test_the_order_is_a_function_of_the_seed():
    assert Run(seed=1).stream(5) == Run(seed=1).stream(5)
    assert Run(seed=1).stream(5) != Run(seed=2).stream(5)


@pytest.mark.parametrize("position", [4, 8, 12, 20, 7])
def test_a_resumed_run_reads_what_the_uninterrupted_one_reads(position):
    whole = Run().stream(12)
    assert Run(consumed=position).stream(5) == whole[position : position + 20]


def test_the_position_may_go_back_as_recomputation_does():
    run = Run()
    first = run.stream(5)
    run.layer.state.consumed[0] = 0
    assert run.stream(5) == first


def test_without_shuffle_samples_come_in_order():
    assert Run(shuffle=False).stream(5) == [*range(N), *range(N)]


def test_a_batch_may_be_larger_than_the_dataset():
    batch = Run(batch_size=25).batch()
    assert sorted(batch[:10]) == sorted(batch[10:20]) == list(range(N))
    assert Run(shuffle=False, batch_size=25).batch() == [i % N for i in range(25)]


@pytest.mark.parametrize("phase", ["test", "predict"])
def test_a_pass_ends_with_what_is_left_over(phase):
    run = Run(phase)
    assert run.plan.dynamic
    for _ in range(2):
        assert [run.batch() for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert [top.shape for top in run.tops] == [(2, 3, 2, 4), (2,)]
    assert run.layer.batches() == 3


def test_a_test_batch_larger_than_the_dataset_is_the_dataset():
    run = Run("test", batch_size=25)
    assert run.plan.tops[0][0] == 25
    assert run.batch() == run.batch() == list(range(N))
    assert run.layer.batches() == 1


def test_a_test_pass_may_be_shuffled():
    run = Run("test", shuffle=True)
    passes = [run.stream(3) for _ in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == list(range(N))
    assert passes[0] != passes[1]


@pytest.mark.parametrize(
    ("phase", "batch_size", "dynamic"), [("train", 4, False), ("test", 5, False), ("test", 4, True)]
)
def test_only_a_partial_batch_makes_shapes_dynamic(phase, batch_size, dynamic):
    assert Run(phase, batch_size=batch_size).plan.dynamic is dynamic


def test_an_unknown_length_makes_shapes_dynamic(tmp_path):
    layer = Data(
        Data.Params.model_validate({"dataset": "mnist", "source": str(tmp_path), "batch_size": 100}), "test", 2
    )
    plan = layer.plan()
    assert plan.dynamic
    assert list(plan.tops) == [(100, 1, 28, 28), (100,)]
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte"):
        layer.open()


def test_the_transformation_is_for_the_first_top_only():
    run = Run(shuffle=False, scale=0.5, mean_value=[1, 2, 3], channel_order="bgr", dtype=np.float64)
    run.batch()
    wanted = (np.arange(4)[:, None] - np.array([1, 2, 3])) * 0.5
    assert np.array_equal(run.tops[0].data, np.broadcast_to(wanted[:, :, None, None], (4, 3, 2, 4)))
    assert run.tops[1].data.tolist() == [100, 101, 102, 103]
    info = run.layer.samples()
    assert (info.shape, info.scale, info.mean_value, info.channel_order) == ([3, 2, 4], 0.5, [1, 2, 3], "BGR")


def test_a_channels_last_top_is_written_too():
    run = Run(shuffle=False)
    run.tops[0] = Blob(run.plan.tops[0], channels_last=True)
    run.tops[0].data[...] = np.nan
    assert run.batch() == [0, 1, 2, 3]
    assert np.array_equal(run.tops[0].data[:, 2, 1, 3], [0, 1, 2, 3])


def test_digits_train_and_test():
    train, test = (Run(phase, dataset="digits", batch_size=64, scale=0.0625) for phase in ("train", "test"))
    train.batch()
    assert train.tops[0].shape == (64, 1, 8, 8)
    assert 0 <= train.tops[0].data.min() < train.tops[0].data.max() == 1
    assert train.layer.batches() == 23
    assert test.layer.batches() == 6
    assert sum(len(test.batch()) for _ in range(6)) == 360
    assert train.layer.samples().class_names == list("0123456789")


def test_a_part_may_be_named():
    assert Run("test", dataset="digits", part="train").layer.batches() == 360
    assert Run("train", dataset="digits", part="test").layer.batches() == 90


def test_arrays_may_be_named(tmp_path):
    path = str(tmp_path / "a.npz")
    np.savez(path, images=np.arange(8.0).reshape(4, 2), data=np.zeros(4), kind=np.arange(4))
    run = Run("test", dataset=None, source=path, arrays=["images", "kind"])
    run.batch()
    assert run.tops[0].data.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert run.tops[1].data.tolist() == [0, 1, 2, 3]
    assert run.layer.samples().shape == [2]


def test_one_top_needs_no_labels():
    run = Run(tops=1, shuffle=False)
    assert run.batch() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("params", "kind", "match"),
    [
        ({"tops": 3}, ShapeError, "there are 3 tops, but the dataset holds only: data, label"),
        ({"tops": 2, "arrays": ["label"]}, ShapeError, "there are 2 tops, but arrays names only label"),
        ({"arrays": ["data", "labels"]}, ShapeError, "no array 'labels' in the dataset, which holds: data, label"),
        ({"dataset": "digit"}, UnknownNameError, "did you mean 'digits'"),
        ({"source": "x"}, DataError, "takes no source"),
        ({"dataset": None, "source": "none.npz"}, DataError, "there is no file 'none.npz'"),
        ({"mean_value": [1, 2]}, ShapeError, "mean_value has 2 values"),
        ({"dataset": "digits", "force_gray": True}, ShapeError, "force_gray: 'digits' holds no encoded images"),
        ({"dataset": "digits", "channel_order": "BGR"}, ShapeError, "channel_order: samples of shape 1x8x8"),
    ],
)
def test_what_does_not_fit_is_refused_when_planned(params, kind, match):
    tops = params.pop("tops", 2)
    params = {"dataset": "count", "batch_size": 4, **params}
    layer = Data(Data.Params.model_validate(params), "train", tops)
    with pytest.raises(kind, match=match):
        layer.plan()


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({}, "needs a dataset"),
        ({"dataset": "digits", "batch_size": 0}, "greater than 0"),
        ({"dataset": "digits", "batch_size": True}, "valid integer"),
        ({"dataset": "digits", "force_color": True, "force_gray": True}, "force_color or force_gray, not both"),
        ({"dataset": {"type": "digits", "side": 8}}, "Extra inputs are not permitted"),
        ({"dataset": {"type": "digist", "side": 8}}, "no kind of dataset 'digist' that could have the fields side"),
        ({"parts": {"train": "a.npz", "test": 0.5}}, "beside paths is a share"),
        ({"parts": {"train": "a.npz"}, "source": "b.npz"}, "beside paths is a source"),
        ({"dataset": "digits", "parts": {"train": 0.75, "validation": 0.5}}, "not more than 1 in all"),
        ({"dataset": "digits", "parts": {"train": 0.0}}, "must be shares between 0 and 1"),
        ({"dataset": "digits", "scale": float("nan")}, "finite"),
    ],
)
def test_parameters_are_strict(params, match):
    with pytest.raises(ValidationError, match=match):
        Data.Params.model_validate({"batch_size": 4, **params})


def test_samples_that_changed_after_planning_are_refused():
    layer = Data(Data.Params.model_validate({"dataset": "count", "batch_size": 4}), "test", 1)
    layer.plan()
    add_dataset("count", train={"data": np.ones((3, 2))}, test={"data": np.ones((3, 2))})
    with pytest.raises(DataError, match="have changed since the net was planned"):
        layer.open()


def test_a_source_that_is_not_open_says_so():
    run = Run()
    run.layer.close()
    for call in (run.batch, run.layer.batches):
        with pytest.raises(UsageError, match="is not open"):
            call()
    run.layer.open()
    assert len(run.batch()) == 4
