"""What a net answers for samples, batch by batch: classes with probabilities, values, or any of its blobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from layerkit import prediction
from layerkit.blob import Array, shape_text
from layerkit.datasets.writing.formats import format_of
from layerkit.datasets.writing.placing import expect_free, whole
from layerkit.errors import DataError, LayerkitError, UnknownNameError, UsageError
from layerkit.graph import Graph, Ref
from layerkit.net import Net
from layerkit.report.inputs import Sample
from layerkit.words import counted


def expect_blobs(graph: Graph, names: Iterable[str]) -> None:
    """Raise UnknownNameError for a blob that a net does not have."""
    for name in names:
        if name not in graph.last:
            raise UnknownNameError("blob", name, graph.last)


def inputs_of(graph: Graph) -> list[str]:
    """The blobs that a caller must fill: what other sources give, such as DummyData, need not be given."""
    return [ref.name for node in graph.nodes if node.spec.type == "Input" for ref in node.tops]


class Answer(NamedTuple):
    """What the net says of one sample, by output."""

    sample: Sample
    classes: dict[str, list[tuple[str, float]]]
    """Outputs that score classes: the best ones with their scores, best first."""
    values: dict[str, Array]
    """All others."""


class Predictor:
    """Shows a predict-phase net samples as their source has them; what the source did to them is done here.

    With `blobs` these are answered in place of the net's outputs; they must be kept. `skip` is told of each sample that
    does not fit, which is then left out. Raises UsageError for a net that takes several inputs or none, or one of no
    axes.
    """

    def __init__(self, net: Net, blobs: Sequence[str] = (), skip: Callable[[DataError], object] | None = None):
        inputs = inputs_of(net.graph)
        if len(inputs) != 1:
            listed = ", ".join(inputs) or "none"
            raise UsageError(f"samples go into a net with one input, and this one has {listed}; use it from Python")
        self._net = net
        self._skip = skip
        self.input = inputs[0]
        """The blob that samples go into."""
        self._names = list(dict.fromkeys(blobs)) or net.outputs
        info = self._info = net.graph.samples.get(self.input)
        if not net.graph.shapes[Ref(self.input)]:
            what = "is a single number, without an axis for samples"
            raise UsageError(f"the net's input {self.input!r} {what}; use the net from Python")
        self.batch, *shape = net.graph.shapes[Ref(self.input)]
        """How many samples the net takes at a time."""
        self._shape = tuple(shape)
        self.shape = prediction.raw_shape(self._shape, info)
        """Of a sample as its source has it; 0 is a height or width that may be any."""
        self.table = None if info is None else info.table
        """What is known of the table that its samples were rows of; see `SampleInfo.table`."""
        softmax = {ref.name for node in net.graph.nodes if node.spec.type == "Softmax" for ref in node.tops}
        self._scores = softmax if not blobs else set()
        self._class_names = list(info.class_names) if info is not None and not blobs else []

    def answers(self, samples: Iterable[Sample], top: int = 1) -> Iterator[Answer]:
        """An answer a sample, with the `top` best classes. Raises DataError, naming the sample."""
        for batch, arrays in self._passes(samples):
            for row, sample in enumerate(batch):
                classes, values = {}, {}
                for name, array in arrays.items():
                    labels = self._labels(name, array)
                    if labels:
                        best = np.argsort(-array[row], kind="stable")[:top]
                        classes[name] = [(labels[k], float(array[row, k])) for k in best]
                    else:
                        values[name] = array[row].copy()
                yield Answer(sample, classes, values)

    def extract(
        self,
        samples: Iterable[Sample],
        target: Path,
        force: bool = False,
        check: Callable[[], object] = lambda: None,
    ) -> int:
        """Write the blobs' rows to a file, an array a blob, and the samples' labels if they have some.

        Returns how many there are. The file appears whole or not at all. `check` is called after each batch, and may
        raise what it likes. Raises DataError, naming the sample.
        """
        form = format_of(target)
        if form.holds == "images" or (form.holds == "samples" and len(self._names) > 1):
            what = "cannot hold blobs" if form.holds == "images" else "holds one blob"
            raise UsageError(f"{str(target)!r} would be {form.name}, which {what}; name an .npz or .h5 file")
        expect_free(target, force, form.ours)
        rows, labelled = 0, True
        with whole(form.make(target, (), None)) as writer:
            for batch, arrays in self._passes(samples):
                labels = [sample.label for sample in batch if sample.label is not None]
                labelled = labelled if rows else bool(labels)
                if len(labels) != (len(batch) if labelled else 0):
                    raise UsageError("some inputs have labels and others have none; extract them one after the other")
                rows_of = arrays if form.holds == "arrays" else {"data": next(iter(arrays.values()))}
                writer.append(**rows_of, **({"label": np.array(labels)} if labelled else {}))
                rows += len(batch)
                check()
            if not rows:
                raise DataError("there are no samples")
        return rows

    def _passes(self, samples: Iterable[Sample]) -> Iterator[tuple[list[Sample], Mapping[str, Array]]]:
        """Batches of samples with what the net made of them, as live views."""
        rest = iter(samples)
        while taken := list(islice(rest, self.batch)):
            batch, given = self.prepared(taken)
            if not batch:
                continue
            self._net.forward(None, None, **{self.input: given})
            arrays = {name: self._net.blobs[name].data for name in self._names}
            for name, array in arrays.items():
                if not array.ndim or len(array) != len(batch):
                    what = f"{shape_text(array.shape)}, without a row for each of {counted(len(batch), 'sample')}"
                    raise UsageError(f"the blob {name!r} is {what}")
            yield batch, arrays

    def prepared(self, batch: list[Sample]) -> tuple[list[Sample], Array]:
        """The samples that fit the net, and what it is given of them. Raises DataError, naming one that does not."""
        try:
            return batch, self._given(batch)
        except LayerkitError:
            good = [sample for sample in batch if self._fits(sample)]
            if len(good) == len(batch):
                raise
        return good, self._given(good) if good else np.empty(0)

    def _given(self, batch: Sequence[Sample]) -> Array:
        """A batch as the net's input takes it."""
        data = [sample.data for sample in batch]
        alike = len({array.shape for array in data}) == 1
        return prediction.prepare(self.input, np.stack(data) if alike else data, self._shape, self._info)[0]

    def _fits(self, sample: Sample) -> bool:
        try:
            prediction.prepare(self.input, sample.data, self._shape, self._info)
        except LayerkitError as error:
            named = DataError(f"{sample.place}: {error}")
            if self._skip is None:
                raise named from None
            self._skip(named)
            return False
        return True

    def _labels(self, name: str, array: Array) -> list[str]:
        """The names of the classes that an output scores, or their numbers; none where it scores no classes."""
        if array.ndim != 2:
            return []
        if len(self._class_names) == array.shape[1]:
            return self._class_names
        return [str(k) for k in range(array.shape[1])] if name in self._scores else []
