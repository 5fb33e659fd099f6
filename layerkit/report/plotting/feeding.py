"""One pass of a snapshot's net over what a user wants to see it on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from layerkit import arrayfile
from layerkit.blob import Array
from layerkit.errors import DataError, UnknownNameError, UsageError
from layerkit.graph import Graph
from layerkit.net import Net
from layerkit.registry import family
from layerkit.report.inputs import Reader, Sample
from layerkit.report.predictions import Predictor, inputs_of


@dataclass(frozen=True)
class Feed:
    """Where samples come from: an input as `layerkit predict` takes it, of a dataset a part."""

    input: str | None
    part: str | None
    stdin: BinaryIO
    note: Callable[[str], object]
    """Is told what was done to an input without having been asked for."""

    def samples(self, predictor: Predictor) -> Iterator[Sample]:
        """The samples, one after the other. Raises UsageError where none are named, DataError."""
        if self.input is None:
            raise UsageError("the net must be shown something: name an image, or another sample, by --input")
        return Reader(predictor.shape, self.stdin, self.note, self.part).read([self.input])

    def first(self, predictor: Predictor) -> Sample:
        """The first sample. Raises UsageError, DataError where there is none."""
        return _some(self.samples(predictor), 1, self.input)[0]


def in_steps(graph: Graph) -> bool:
    """Whether a net has a layer that goes through its input step by step, so that rows are steps and no samples."""
    return any(node.bodies or family(node.spec.type) == "recurrent" for node in graph.nodes)


def forward(net: Net, feed: Feed) -> str:
    """Run the net on the first sample, or for a net that goes step by step on as many rows as it takes.

    A net that has several inputs, or goes step by step, also takes an .npz file with an array for each input, as the
    net gets it; one without inputs is just run. Returns what the samples are called. Raises UsageError, DataError.
    """
    steps, needed = in_steps(net.graph), inputs_of(net.graph)
    if not needed:
        net.forward()
        return net.name
    if feed.input is not None and Path(feed.input).suffix == ".npz" and (steps or len(needed) > 1):
        net.forward(None, None, **_arrays(net, needed, feed.input))
        return feed.input
    if len(needed) > 1:
        listed = ", ".join(needed)
        raise UsageError(f"the net has the inputs {listed}: give an .npz file with an array for each by --input")
    predictor = Predictor(net)
    chosen = _some(feed.samples(predictor), predictor.batch if steps else 1, feed.input)
    given = {predictor.input: predictor.prepared(chosen)[1]}
    net.forward(None, None, **given)
    return chosen[0].place if len(chosen) == 1 else str(feed.input)


def _some(samples: Iterator[Sample], count: int, name: str | None) -> list[Sample]:
    chosen = list(islice(samples, count))
    if not chosen:
        raise DataError(f"{name}: there are no samples")
    return chosen


def _arrays(net: Net, needed: Sequence[str], path: str) -> dict[str, Array]:
    """The arrays of an .npz file for all inputs of a net that must be given, and any that may be."""
    arrays, _ = arrayfile.load(path)
    for name in arrays:
        if name not in net.inputs:
            raise UnknownNameError("input", name, net.inputs)
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise DataError(f"{path} has no array for the input {missing[0]!r}")
    return arrays
