"""How long each layer of a net takes, forward and backward, and what runs it; and where its memory goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from layerkit.layer import SourceLayer
from layerkit.net import Net
from layerkit.programs import implementations


@dataclass(frozen=True)
class Row:
    """A layer, or several that run as one: medians in milliseconds; `share` is of the sum of all."""

    layers: list[str]
    types: list[str]
    runs_on: str
    forward: float
    backward: float
    share: float


@dataclass(frozen=True)
class Timing:
    """A net's passes: one row a unit in the order in which they run, the sums, and bytes by what lies there."""

    engine: str
    iterations: int
    rows: list[Row]
    forward: float
    backward: float
    bytes: dict[str, int]


def measure(net: Net, iterations: int) -> Timing:
    """Run a net `iterations` times after one warm-up and time each layer; backward too where it has a backward pass.

    Inputs that a caller would fill get random numbers, or zeros where they have one axis, as labels have.
    """
    rng = np.random.default_rng(0)
    given = {name for node in net.graph.nodes if node.spec.type == "Input" for name in (ref.name for ref in node.tops)}
    for name in given:
        data = net.blobs[name].data
        data[...] = rng.normal(size=data.shape) if data.ndim > 1 else 0
    net.forward()
    back = net.program.backward_from_losses() if net.trains else None
    forward: dict[int, list[float]] = {step.last: [] for step in net.program.steps}
    backward: dict[int, list[float]] = {}
    for i in range(iterations + 1):
        net.engine.enter()
        for step in net.program.steps:
            if isinstance(step.layer, SourceLayer):
                step.layer.rewind()  # so that each batch is as large as the first
            if step.varies:
                net.offer_bounds(step)
            forward[step.last].append(_milliseconds(step.run))
        for ready in back.steps if back is not None else ():
            took = _milliseconds(partial(ready.run, {}))
            backward.setdefault(ready.last, []).append(took)
        if i == 0:
            for each in (*forward.values(), *backward.values()):
                each.clear()
    return _collect(net, iterations, forward, backward)


def _collect(net: Net, iterations: int, forward: dict[int, list[float]], backward: dict[int, list[float]]) -> Timing:
    on = implementations(net.graph, net.program)
    times = {
        unit.nodes: (_median(forward[unit.nodes[-1]]), _median(backward.get(unit.nodes[-1], [])))
        for unit in net.program.binding.units
    }
    total = sum(map(sum, times.values())) or 1.0
    rows = []
    for indexes, (there, back) in times.items():
        nodes = [net.graph.nodes[i] for i in indexes]
        names, types = [node.name for node in nodes], [node.spec.type for node in nodes]
        rows.append(Row(names, types, on[names[0]], there, back, (there + back) / total))
    there, back = (sum(each[i] for each in times.values()) for i in range(2))
    return Timing(net.engine.name, iterations, rows, there, back, net.bytes)


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _milliseconds(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begun)
