"""The datasets that layerkit makes itself: what is in them, and that they are the same each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from layerkit.datasets import describe, open_source
from layerkit.errors import DataError

MADE = ("digit_pairs", "shapes")


def everything(name: str, part: Any) -> tuple[Any, ...]:
    source = open_source(name, None, part)
    return source.read(np.arange(len(source)))


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
