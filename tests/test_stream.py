"""Streams of samples: what comes when is a function of the position alone."""

import itertools

import numpy as np
import pytest

from layerkit.datasets.stream import Stream, balanced, by_file, shuffled
from layerkit.errors import DataError
from layerkit.layer import Generators

N = 10


def stream(length=N, batch_size=4, order=shuffled, seed=0, **options):
    drawn = None if order is None else order(length)
    return Stream(length, batch_size, order=drawn, generator=Generators(seed), **options)


def walk(stream, count, position=0):
    """The batches from a position on."""
    found = []
    for _ in range(count):
        found.append(stream.batch(position)[0].tolist())
        position = stream.after(position)
    return found


@pytest.mark.parametrize(
    ("last_batch", "sizes", "batches"), [("wrap", [4, 4, 4, 4], 3), ("keep", [4, 4, 2, 4], 3), ("drop", [4] * 4, 2)]
)
def test_what_becomes_of_the_last_batch(last_batch, sizes, batches):
    each = stream(last_batch=last_batch)
    assert [len(batch) for batch in walk(each, 4)] == sizes
    assert each.batches == batches


def test_keep_reads_each_sample_once_an_epoch():
    batches = walk(stream(last_batch="keep"), 6)
    epochs = [[*itertools.chain(*batches[:3])], [*itertools.chain(*batches[3:])]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(N))] * 2
    assert epochs[0] != epochs[1]


def test_drop_leaves_out_other_samples_in_every_epoch():
    batches = walk(stream(last_batch="drop"), 40)
    epochs = [set(batches[i] + batches[i + 1]) for i in range(0, 40, 2)]
    assert all(len(epoch) == 8 for epoch in epochs)
    assert set.union(*epochs) == set(range(N))


def test_every_sample_knows_its_epoch():
    indices, epochs = stream(batch_size=25, order=None).batch(8)
    assert indices.tolist() == [i % N for i in range(8, 33)]
    assert epochs.tolist() == [i // N for i in range(8, 33)]


@pytest.mark.parametrize("last_batch", ["wrap", "keep", "drop"])
def test_batches_do_not_depend_on_what_was_made_before(last_batch):
    whole, position = walk(stream(last_batch=last_batch), 12), 0
    jumping = stream(last_batch=last_batch)
    positions = [position]
    for _ in range(11):
        positions.append(jumping.after(positions[-1]))
    for i in np.random.default_rng(0).permutation(12):
        assert jumping.batch(positions[i])[0].tolist() == whole[i]


def test_skip_leaves_out_the_beginning_once():
    assert walk(stream(order=None, skip=3), 3) == [[3, 4, 5, 6], [7, 8, 9, 0], [1, 2, 3, 4]]


def test_drop_needs_a_whole_batch():
    with pytest.raises(DataError, match="drop leaves nothing of 3 samples in batches of 4"):
        stream(length=3, last_batch="drop")


def test_balanced_epochs_have_all_classes_alike():
    labels = np.repeat([5, 7, 9], [80, 15, 5])
    epoch = Stream(100, 100, order=balanced(labels), generator=Generators(1)).batch(0)[0]
    drawn = np.bincount(labels[epoch], minlength=10)[[5, 7, 9]]
    assert drawn.sum() == 100
    assert drawn.min() >= 33
    assert drawn.max() <= 34
    assert len(set(epoch[labels[epoch] == 5])) >= 33  # none twice while others of its class are left
    counts = np.bincount(epoch[labels[epoch] == 9], minlength=100)[95:]
    assert counts.max() - counts.min() <= 1


def test_balanced_epochs_of_few_samples_leave_out_another_class_each_time():
    labels = np.array([0, 1, 2, 2])
    stream = Stream(4, 4, order=balanced(labels), generator=Generators(0))
    double = {int(np.bincount(labels[stream.batch(4 * epoch)[0]]).argmax()) for epoch in range(30)}
    assert double == {0, 1, 2}


def test_files_stay_together():
    order = Stream(9, 9, order=by_file([0, 2, 5, 9]), generator=Generators(3)).batch(9)[0].tolist()
    files = [int(np.searchsorted([2, 5], index, side="right")) for index in order]
    assert sorted(order) == list(range(9))
    assert len([file for file, before in zip(files, [-1, *files], strict=False) if file != before]) == 3
