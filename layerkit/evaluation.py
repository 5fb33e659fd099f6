"""What a net gives over a whole set of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from layerkit.blob import Array
from layerkit.layer import Metric, SourceLayer
from layerkit.net import Net

Outputs = dict[str, float]


class Evaluation(NamedTuple):
    """What a net gave over all its samples."""

    outputs: Outputs
    """Each output that is a single number: a metric's value over all samples, the mean over samples of any other."""
    tables: dict[str, Array]
    """The metrics' outputs that are several numbers: by class, or confusion matrices."""
    samples: int


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


def scalars(net: Net) -> list[tuple[str, Any]]:
    """The outputs that are single numbers, by name."""
    return [(name, net.blobs[name].data.item()) for name in net.outputs if net.blobs[name].count == 1]


def batch_size(net: Net) -> int:
    """How many samples the last forward pass read: the leading axis of the first input."""
    shape = net.blobs[net.inputs[0]].shape if net.inputs else ()
    return shape[0] if shape else 1
