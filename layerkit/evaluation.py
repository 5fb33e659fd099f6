"""What a net gives over a whole set of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from layerkit.blob import Array
from layerkit.graph import Graph
from layerkit.layer import Layer, Metric, SourceLayer
from layerkit.net import Net
from layerkit.passes import remember

Outputs = dict[str, float]

LOGGED = 10_000
"""Numbers in a table that the event log still records: a confusion matrix of 1,000 classes would swell it."""


class Evaluation(NamedTuple):
    """What a net gave over all its samples."""

    outputs: Outputs
    """Each output that is a single number: a metric's value over all samples, the mean over samples of any other."""
    tables: dict[str, Array]
    """The metrics' outputs that are several numbers: by class, or confusion matrices."""
    samples: int

    def record(self) -> dict[str, Any]:
        """What the event log records of it: without tables that are too large."""
        tables = {name: table.tolist() for name, table in self.tables.items() if table.size <= LOGGED}
        return {"outputs": self.outputs, "samples": self.samples, **({"tables": tables} if tables else {})}


def evaluate(net: Net, batches: str | int = "all", *, stop: Callable[[], bool] = lambda: False) -> Evaluation:
    """The outputs of a net over the samples from its sources' beginning.

    `batches` is how many forward passes to run, or `all`: every sample of the longest source once. Metrics add up what
    they count. In the mean of any other output each pass counts by its number of samples, so that a smaller last batch
    weighs no more than it should. `stop` is asked between passes; where it cuts them short there are no outputs of no
    samples. Raises DataError.
    """
    net.open()
    sources = [layer for layer in net.layers.values() if isinstance(layer, SourceLayer)]
    metrics = {name: layer for name, layer in net.layers.items() if isinstance(layer, Metric)}
    for source in sources:
        source.rewind()
    for metric in metrics.values():
        metric.reset()
    count = max((source.batches() for source in sources), default=1) if batches == "all" else int(batches)
    totals: Outputs = {}
    samples = 0
    for done in range(count):
        if done and stop():
            return Evaluation({}, {}, 0)
        net.forward()
        size = batch_size(net)
        samples += size
        for name, value in scalars(net):
            totals[name] = totals.get(name, 0.0) + float(value) * size
    outputs = {name: total / max(samples, 1) for name, total in totals.items()}
    tables = {}
    for node in net.graph.nodes:
        if node.name in metrics:
            for top, value in zip(node.tops, metrics[node.name].result(), strict=True):
                if top.name in outputs:
                    outputs[top.name] = value.item()
                elif top.name in net.outputs:
                    tables[top.name] = value
    return Evaluation(outputs, tables, samples)


class Tests:
    """The test nets of a run, by name, with how many batches a test of each is.

    Where there are several, their outputs go by `NAME.output`.
    """

    def __init__(self, nets: Mapping[str, Net], batches: Mapping[str, int | str]):
        self.nets = dict(nets)
        self._batches = batches

    def run(self, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """What the nets give, one after the other; None if `stop` cut it short, and then it is as if it had not begun.

        `stop` is asked as by `evaluate`. Raises DataError.
        """
        undo = remember(node for net in self.nets.values() for _, node in net.nodes())
        outputs: Outputs = {}
        tables: dict[str, Array] = {}
        samples = 0
        for name, net in self.nets.items():
            found = evaluate(net, self._batches.get(name, "all"), stop=stop)
            if not found.samples and stop():
                undo()
                return None
            prefix = self._prefix(name)
            outputs |= {f"{prefix}{output}": value for output, value in found.outputs.items()}
            tables |= {f"{prefix}{output}": table for output, table in found.tables.items()}
            samples += found.samples
        return Evaluation(outputs, tables, samples)

    def by_key(self) -> dict[str, Net]:
        """The nets as a solver's state tells them apart: `test`, or of several `test.NAME`."""
        return {"test" if len(self.nets) == 1 else f"test.{name}": net for name, net in self.nets.items()}

    def makers(self) -> dict[str, Layer]:
        """The outputs that are single numbers, each with the layer that makes it."""
        return makers({name: net.graph for name, net in self.nets.items()})

    def _prefix(self, name: str) -> str:
        return f"{name}." if len(self.nets) > 1 else ""


def makers(graphs: Mapping[str, Graph]) -> dict[str, Layer]:
    """The outputs of test nets that are single numbers, each with the layer that makes it; of several `NAME.output`."""
    return {
        f"{name}.{top.name}" if len(graphs) > 1 else top.name: node.layer
        for name, graph in graphs.items()
        for node in graph.nodes
        for top in node.tops
        if top.name in graph.outputs and math.prod(graph.shapes[top]) == 1
    }


def scalars(net: Net) -> list[tuple[str, Any]]:
    """The outputs that are single numbers, by name."""
    return [(name, net.blobs[name].data.item()) for name in net.outputs if net.blobs[name].count == 1]


def batch_size(net: Net) -> int:
    """How many samples the last forward pass read: the leading axis of the first input."""
    shape = net.blobs[net.inputs[0]].shape if net.inputs else ()
    return shape[0] if shape else 1
