"""The datasets that layerkit makes itself: what is in them, and that they are the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layerkit.datasets import describe, open_source
from layerkit.datasets.bundled import shakespeare
from layerkit.errors import DataError

MADE = ("digit_pairs", "parity", "shakespeare", "shapes")


def everything(name: str, part: Any) -> tuple[Any, ...]:
    source = open_source(name, None, part)
    return source.read(np.arange(len(source)))[:2]


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", MADE)
def test_a_set_is_what_it_says_and_the_same_each_time(name: str, part: Any) -> None:
    header, (data, label) = describe(name, None, part), everything(name, part)
    assert header == open_source(name, None, part).header
    assert len(data) == len(label) == header.length
    assert [int(label.min()), int(label.max())] == [0, len(header.class_names) - 1]
    again = everything(name, part)
    assert [data.tobytes(), label.tobytes()] == [each.tobytes() for each in again]


@pytest.mark.parametrize("name", MADE)
def test_train_and_test_share_no_sample(name: str) -> None:
    train, test = ({sample.tobytes() for sample in everything(name, part)[0]} for part in ("train", "test"))
    assert not train & test


@pytest.mark.parametrize("name", MADE)
def test_a_set_takes_no_source(name: str) -> None:
    for ask in (describe, open_source):
        with pytest.raises(DataError, match=f"the dataset '{name}' is bundled and takes no source"):
            ask(name, "some/folder", "train")


@pytest.mark.parametrize("part", ["train", "test"])
def test_pairs_are_of_the_bundled_digits_and_labelled_by_them(part: Any) -> None:
    images, labels = everything("digits", part)
    digit = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    pairs, same = everything("digit_pairs", part)
    first, second = ([digit[each.tobytes()] for each in pairs[:, [i]]] for i in (0, 1))
    assert [a == b for a, b in zip(first, second, strict=True)] == same.astype(bool).tolist()
    assert abs(same.mean() - 0.5) < 0.01
    assert sorted(first) == sorted(labels)


def test_every_kind_of_figure_is_there_and_differs_from_the_ground() -> None:
    data, label = everything("shapes", "train")
    share = np.bincount(label.ravel()) / label.size
    assert 0.6 < share[0] < 0.85
    assert min(share[1:]) > 0.04
    contrast = [abs(data[i].mean(0)[label[i] > 0] - data[i].mean(0)[label[i] == 0].mean()).mean() for i in range(50)]
    assert np.mean(contrast) > 40


@pytest.mark.parametrize("part", ["train", "test"])
def test_parity_counts_marked_bits_since_the_last_beginning(part: Any) -> None:
    source = open_source("parity", None, part)
    data, label, cont = source.read(np.arange(len(source)))
    assert list(source.header.shapes) == ["data", "label", "cont"]
    assert not cont[:, 0].any()
    assert 0.92 < cont[:, 1:].mean() < 0.95
    for bits, answers, goes_on in zip(data[:50], label, cont, strict=False):
        begins = np.flatnonzero(goes_on == 0)
        for start, end in zip(begins, [*begins[1:], len(bits)], strict=True):
            marked = [bit for bit, mark in bits[start:end] if mark]
            assert answers[end - 1] == sum(marked) % 2
    assert 0.35 < label.mean() < 0.5


def test_the_text_is_hamlet_and_a_label_is_the_next_character() -> None:
    names = describe("shakespeare", None, "train").class_names
    train, test = (everything("shakespeare", part) for part in ("train", "test"))
    first = "".join(names[number] for number in train[0][0])
    assert first.startswith("HAMLET, PRINCE OF DENMARK\n\nby William Shakespeare")
    for data, label in (train, test):
        assert (data[:, 1:] == label[:, :-1]).all()
    assert (train[1][:-1, 15] == train[0][1:, 0]).all()  # windows begin 16 characters apart
    assert (test[1][:-1, -1] == test[0][1:, 0]).all()  # one behind the other
    whole = "".join(names[number] for number in test[0].ravel())
    assert "the rest is silence." in whole
    assert len(set(names)) == len(names) == 65


def test_a_damaged_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(shakespeare, "FILE", tmp_path / "shakespeare.npz")
    with pytest.raises(DataError, match="the bundled text cannot be read; install layerkit again: "):
        open_source("shakespeare", None, "test")
