"""How long each layer of a net takes, forward and backward, and what runs it; and where its memory goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from layerkit import engines
from layerkit.errors import UsageError
from layerkit.graph.effort import of_node
from layerkit.layer import SourceLayer
from layerkit.net import Net
from layerkit.programs import implementations


@dataclass(frozen=True)
class Row:
    """A layer, or several that run as one: medians in milliseconds; `share` is of the sum of all.

    `gflops` are billions of multiplications and additions a second, forward and backward together, of layers that
    multiply matrices; 0 for others. `why` says in words why the layer's own code runs, where an engine could have.
    """

    layers: list[str]
    types: list[str]
    runs_on: str
    forward: float
    backward: float
    share: float
    gflops: float
    why: str

    @property
    def both(self) -> float:
        """Milliseconds forward and backward."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Timing:
    """A net's passes: one row a unit in the order in which they run, the sums, and bytes by what lies there."""

    engine: str
    iterations: int
    rows: list[Row]
    forward: float
    backward: float
    bytes: dict[str, int]


@dataclass(frozen=True)
class Compared:
    """What a layer takes with each engine, forward and backward in milliseconds; several that run as one together."""

    layers: list[str]
    types: list[str]
    forward: dict[str, float]
    backward: dict[str, float]


def compare(timings: Sequence[Timing]) -> list[Compared]:
    """The rows of several timings of one net side by side; layers that any engine joins share a row.

    Raises UsageError where two of them are of one engine.
    """
    names = [timing.engine for timing in timings]
    if len(set(names)) < len(names):
        raise UsageError(f"engines to compare must differ, but they are {' and '.join(names)}")
    group: dict[str, list[str]] = {name: [name] for row in timings[0].rows for name in row.layers}
    types = {name: kind for row in timings[0].rows for name, kind in zip(row.layers, row.types, strict=True)}
    order = [name for timing in timings for row in timing.rows for name in row.layers][: len(group)]
    for row in (row for timing in timings for row in timing.rows):
        members = {id(group[name]): group[name] for name in row.layers}.values()
        together = [name for member in members for name in member]
        for name in together:
            group[name] = together
    found = []
    for joined in {id(group[name]): group[name] for name in order}.values():
        inside = {timing.engine: [row for row in timing.rows if row.layers[0] in joined] for timing in timings}
        forward = {engine: sum(row.forward for row in rows) for engine, rows in inside.items()}
        backward = {engine: sum(row.backward for row in rows) for engine, rows in inside.items()}
        found.append(Compared(joined, [types[name] for name in joined], forward, backward))
    return found


def measure(net: Net, iterations: int, asked: str = "auto") -> Timing:
    """Run a net `iterations` times after one warm-up and time each layer; backward too where it has a backward pass.

    `asked` is the engine that was asked for. Inputs that a caller would fill get random numbers, or zeros where they
    have one axis, as labels have.
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
    return _collect(net, iterations, asked, forward, backward)


def _collect(
    net: Net, iterations: int, asked: str, forward: dict[int, list[float]], backward: dict[int, list[float]]
) -> Timing:
    on = implementations(net.graph, net.program)
    times = {
        unit.nodes: (_median(forward[unit.nodes[-1]]), _median(backward.get(unit.nodes[-1], [])))
        for unit in net.program.binding.units
    }
    total = sum(map(sum, times.values())) or 1.0
    products = _products(net)
    rows = []
    for indexes, (there, back) in times.items():
        nodes = [net.graph.nodes[i] for i in indexes]
        names, types = [node.name for node in nodes], [node.spec.type for node in nodes]
        took = there + back
        gflops = 2e-6 * sum(products[i] for i in indexes) / took if took else 0.0
        why = _why(net, asked, tuple(types)) if on[names[0]] == "numpy" else ""
        rows.append(Row(names, types, on[names[0]], there, back, took / total, gflops, why))
    there, back = (sum(each[i] for each in times.values()) for i in range(2))
    return Timing(net.engine.name, iterations, rows, there, back, net.bytes)


def _products(net: Net) -> list[int]:
    """Each layer's multiply-adds in both passes: as many again for the gradient of either factor of its products."""
    passes = [1] * len(net.graph.nodes)
    for step in net.graph.backward(None) if net.trains else ():
        passes[step.node] += min(2, bool(step.asked) + sum(step.propagate_down))
    return [count * of_node(node) for count, node in zip(passes, net.graph.nodes, strict=True)]


def _why(net: Net, asked: str, types: tuple[str, ...]) -> str:
    """Why a layer's own code runs."""
    if net.engine.name != "numpy":
        return net.engine.why_not(types)
    return engines.missing(engines.names()[0]) or "" if asked == "auto" else ""


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _milliseconds(run: Callable[[], None]) -> float:
    begun = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begun)
