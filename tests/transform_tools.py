"""What the tests of transforms share: small batches, and a transform run alone on one."""

import numpy as np

from layerkit.datasets.draws import Draws
from layerkit.datasets.transforms import Finish, Layout, Pipeline, Samples, TransformParams

RNG = np.random.default_rng(5)
DRAWS = Draws(6)
COUNT = 7
BYTES = RNG.integers(0, 256, (COUNT, 3, 9, 11), dtype=np.uint8)
FLOATS = RNG.normal(size=(COUNT, 3, 9, 11)).astype(np.float32)
LABELS = np.array([0, 3, 1, 4, 2, 2, 0])
EPOCHS = np.array([0, 0, 0, 0, 1, 1, 1])
INDICES = np.array([5, 2, 9, 0, 1, 7, 3])


def made(**fields):
    """The transform that these fields say."""
    (transform,) = TransformParams.model_validate({"transform": [fields]}).transform
    return transform


def last(images):
    """The same images with their channels beside each other in memory."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def samples(data, labels=LABELS, classes=0):
    """A batch as the first transform of a list gets it."""
    rows = slice(0, len(data))
    arrays = [data] if labels is None else [data, labels[rows]]
    return Samples(arrays, EPOCHS[rows], INDICES[rows], DRAWS, classes, position=1)


def run(transform, data, labels=LABELS, classes=0):
    """What a transform makes of a batch: its arrays. It writes into nothing that it is given."""
    before = data.copy()
    batch = samples(data, labels, classes)
    transform.apply(batch)
    np.testing.assert_array_equal(data, before)
    return batch.arrays


def drawn(count, stream=0, k=COUNT):
    """The numbers that the first transform of a list draws."""
    return DRAWS.uniform(EPOCHS[:k], INDICES[:k], count, 1 << 8 | stream)


def layout(data, *labels, classes=0):
    """The layout of arrays (k, ...)."""
    arrays = (data, *labels)
    return Layout(tuple(a.shape[1:] for a in arrays), tuple(a.dtype for a in arrays), classes)


def through(steps, data, *labels, finish=None, rows=slice(None), classes=0, dtype=np.float32):
    """What a pipeline makes of rows of a batch."""
    pipeline = Pipeline(layout(data, *labels, classes=classes), steps, finish or Finish(), DRAWS)
    k = len(data[rows])
    out = [np.full((k, *shape), np.nan, dtype) for shape in pipeline.shapes]
    pipeline.apply([data[rows], *(each[rows] for each in labels)], EPOCHS[rows], INDICES[rows], out)
    return out
