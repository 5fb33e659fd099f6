"""Parts of datasets: shares at random, by class and in order, files of their own, and what cannot be."""

import itertools

import numpy as np
import pytest

import layerkit as lk
from layerkit.datasets import Header, Source, registered, select
from layerkit.datasets.dataset import Dataset
from layerkit.errors import ConfigError, DataError

N = 50
LABELS = np.repeat([0, 1, 2], [30, 15, 5])


@pytest.fixture(autouse=True)
def _own(monkeypatch):
    monkeypatch.setattr(registered, "_parts", {})
    lk.add_dataset("own", train={"data": np.arange(N), "label": LABELS})


def numbers(part, **options):
    opened = select("own", None, part, **options).open()
    return opened.read(np.arange(len(opened)))[0].tolist()


def test_random_shares_are_every_sample_once():
    parts = {"train": 0.7, "validation": 0.14, "test": 0.16}
    found = {part: numbers(part, parts=parts) for part in parts}
    assert [len(each) for each in found.values()] == [35, 7, 8]
    assert sorted(itertools.chain(*found.values())) == list(range(N))
    assert all(each == sorted(each) for each in found.values())
    assert found["train"] != list(range(35))


def test_a_division_is_a_function_of_its_seed():
    parts = {"train": 0.5, "test": 0.5}
    assert numbers("test", parts=parts) == numbers("test", parts=parts)
    assert numbers("test", parts=parts) != numbers("test", parts=parts, seed=1)


def test_shares_that_leave_something_out():
    assert len(numbers("train", parts={"train": 0.1})) == 5


@pytest.mark.parametrize("seed", [0, 1])
def test_stratified_shares_have_every_class_in_its_proportion(seed):
    parts = {"train": 0.6, "test": 0.4}
    found = {part: numbers(part, parts=parts, split="stratified", seed=seed) for part in parts}
    assert np.bincount(LABELS[found["train"]]).tolist() == [18, 9, 3]
    assert np.bincount(LABELS[found["test"]]).tolist() == [12, 6, 2]
    assert sorted(found["train"] + found["test"]) == list(range(N))
    assert found["train"] != numbers("train", parts=parts, split="stratified", seed=seed + 10)


def test_shares_in_order():
    parts = {"train": 0.8, "test": 0.2}
    assert numbers("train", parts=parts, split="in_order") == list(range(40))
    assert numbers("test", parts=parts, split="in_order") == list(range(40, 50))


class Windows(Dataset):
    """Windows of which each shares values with the two that follow."""

    parts = ()
    overlaps = True
    type: str = "windows"

    def describe(self, source, part):
        return Header({"data": ()}, {"data": np.dtype("int64")}, 20, overlap=2)

    def open(self, source, part):
        opened = Source()
        opened.header = self.describe(source, part)
        opened.sample = lambda index: {"data": np.asarray(index)}
        return opened


def test_overlapping_samples_are_divided_in_order_and_share_nothing_between_parts():
    parts = {"train": 0.5, "test": 0.5}
    train, test = (select(Windows(), None, part, parts=parts).open() for part in parts)
    assert train.read(np.arange(len(train)))[0].tolist() == list(range(10))
    assert test.read(np.arange(len(test)))[0].tolist() == list(range(12, 20))


def test_a_part_that_is_not_divided_is_the_sets_own():
    parts = {"train": 0.75, "validation": 0.25}
    lengths = [len(select("digits", None, part, parts=parts).open()) for part in ("train", "validation", "test")]
    assert lengths == [1078, 359, 360]


def test_parts_may_be_files(tmp_path):
    paths = {part: str(tmp_path / f"{part}.npz") for part in ("train", "test")}
    for length, path in zip((3, 2), paths.values(), strict=True):
        np.savez(path, data=np.zeros((length, 4)))
    assert [len(select(None, None, part, parts=paths).open()) for part in paths] == [3, 2]


def test_a_described_length_is_the_opened_one():
    for part, split in (("train", "random"), ("test", "random")):
        selection = select("own", None, part, parts={"train": 0.33, "test": 0.67}, split=split)
        assert selection.describe().length == len(selection.open())
    stratified = select("own", None, "train", parts={"train": 0.33}, split="stratified")
    assert stratified.describe().length is None  # the classes' sizes are known only once it is open


@pytest.mark.parametrize(
    ("part", "parts", "match"),
    [
        ("tset", {"train": 0.5, "test": 0.5}, "'own' has no part 'tset'; did you mean 'test'"),
        ("x", {"train": 0.5}, "has no part 'x'; it has: train, test"),
        ("train", {"train": 0.001}, r"a share of 0\.001 of 50 samples holds none"),
    ],
)
def test_what_cannot_be_divided(part, parts, match):
    with pytest.raises(DataError, match=match):
        select("own", None, part, parts=parts).open()


def test_classes_need_single_labels():
    lk.add_dataset("maps", train={"data": np.zeros((4, 2)), "label": np.zeros((4, 2))})
    with pytest.raises(DataError, match="no single label a sample"):
        select("maps", None, "train", parts={"train": 0.5}, split="stratified").open()


RUN = """
name: parts
net:
  layers:
    - {name: data, type: Data, top: [data, label], dataset: digits, batch_size: 10, parts: PARTS}
    - {name: fc, type: InnerProduct, bottom: data, num_output: 10}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""


@pytest.mark.parametrize(("phase", "length"), [("train", 1150), ("test", 287)])
def test_parts_are_not_values_per_phase(phase, length):
    net = lk.Net(RUN.replace("PARTS", "{train: 0.8, test: 0.2}"), phase)
    net.open()
    assert net.layers["data"].length() == length


def test_without_a_test_part_tests_use_the_validation_part():
    net = lk.Net(RUN.replace("PARTS", "{train: 0.8, validation: 0.1}"), "test")
    net.open()
    assert net.layers["data"].length() == round(0.9 * 1437) - round(0.8 * 1437)


def test_errors_have_a_place():
    with pytest.raises(ConfigError, match=r"^5:92: layer 'data' \(Data\): parts must be shares between 0 and 1"):
        lk.Net(RUN.replace("PARTS", "{train: 0.8, test: 0.7}"))
    with pytest.raises(ConfigError, match=r"'digits' has no part 'trian'; did you mean 'train'"):
        lk.Net(RUN.replace("PARTS", "{test: 0.5}, part: trian"))
