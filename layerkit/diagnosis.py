"""Whether a net can be trained, and where the first value came from that is not finite, once there is one."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from layerkit import arrayfile, graph
from layerkit.blob import Array
from layerkit.errors import DataError, LayerkitError, UsageError
from layerkit.events import EventLog
from layerkit.graph import Node
from layerkit.layer import SourceLayer
from layerkit.net import Net
from layerkit.spec import load_run


@dataclass
class _Begun:
    """What a forward pass began with, of the layers that it changes: their generators and private states."""

    generators: dict[str, Any] = field(default_factory=dict)
    states: dict[str, dict[str, Array]] = field(default_factory=dict)


class Guard:
    """Looks at every pass of a train net, and tells where the first value came from that is not finite.

    Before each pass it notes what random and recurrent layers begin with, a few bytes. The check of a pass costs
    one dot product. Only where something is not finite, the batch is run again: through a net with memory for every
    blob, in the layers' own code first, and by the engine if that finds nothing. Its statistics (BatchNorm's) are those
    after the pass, of which a train net's pass makes no use unless use_global_stats says so.
    """

    def __init__(self, net: Net, folder: Path | None):
        self._net = net
        self._folder = folder
        self._begun = _Begun()
        self._changing = any(_changes(node) for _, node in net.nodes())

    def forward(self, iteration: int) -> None:
        """Run the net forward. Raises what that does, with more of where it came from where a value is not finite."""
        self._begin()
        try:
            self._net.forward()
        except DataError as error:
            batch = self._batch()
            place = None if self._of_a_source(error) else self._place(batch)  # others refuse what is not finite
            if place is None:
                raise
            raise DataError(self._sentence(str(error), iteration, batch, place)) from None

    def _of_a_source(self, error: DataError) -> bool:
        """Whether the net says that a source raised it, which then gave no batch."""
        sources = [name for name, layer in self._net.layers.items() if isinstance(layer, SourceLayer)]
        return any(str(error).startswith(f"layer {name!r} (") for name in sources)

    def _begin(self) -> None:
        if self._changing:
            nodes = [(name, node) for name, node in self._net.nodes() if _changes(node)]
            generators = {name: node.layer.rng.bit_generator.state for name, node in nodes if node.plan.random}
            states = {
                name: {each.name: getattr(node.layer.state, each.name).copy() for each in node.plan.state}
                for name, node in nodes
            }
            self._begun = _Begun(generators, states)

    def check_loss(self, loss: float, iteration: int) -> None:
        """Raise DataError where the loss of the batch is not finite."""
        if not math.isfinite(loss):
            raise DataError(self._explained(f"the loss is {loss}", iteration))

    def check_gradients(self, iteration: int) -> None:
        """Raise DataError where a gradient is not finite; the weights are still those that it was computed with."""
        diff = self._net.flat.diff
        if not math.isfinite(np.dot(diff, diff)) and not _finite(diff):  # the squares alone may outgrow the type
            raise DataError(self._explained("a gradient is not finite", iteration))

    def check_weights(self, iteration: int) -> None:
        """Raise DataError where a weight is not finite, which a rectifier behind it may keep from the loss."""
        if not _finite(self._net.flat.values):
            slot = next(slot for slot in self._net.flat.trained if not _finite(slot.blob.values))
            hint = "lower base_lr, or go on from an earlier snapshot"
            raise DataError(f"the {slot.name} of layer {slot.layer!r} is not finite at iteration {iteration}: {hint}")

    # -- the diagnosis -------------------------------------------------------------------------------------------

    def _explained(self, what: str, iteration: int) -> str:
        batch = self._batch()
        return self._sentence(what, iteration, batch, self._place(batch))

    def _batch(self) -> dict[str, Array]:
        return {name: self._net.blobs[name].data.copy() for name in self._net.inputs}

    def _place(self, batch: Mapping[str, Array]) -> str | None:
        """Where the first value is that is not finite, in words; None where a pass over the batch finds none."""
        place = _bad_weight(self._net)
        if place is None:
            with contextlib.suppress(LayerkitError, MemoryError, NotImplementedError):
                place = next((found for net in self._again() if (found := _first(net, batch))), None)
        return place

    def _sentence(self, what: str, iteration: int, batch: Mapping[str, Array], place: str | None) -> str:
        """What is not finite, when, where it first appeared, where the batch is, and what to do."""
        first = "" if place is None else f", first in {place}"
        path = self._save(batch, iteration)
        saved = "" if path is None else f" (the batch is in {path})"
        return f"{what} at iteration {iteration}{first}{saved}: lower base_lr, or look for extreme values in the data"

    def _save(self, batch: Mapping[str, Array], iteration: int) -> Path | None:
        """Write the batch beside the snapshots; None where there is no folder, or no room in it."""
        if self._folder is None:
            return None
        path = self._folder / f"batch_{iteration}.npz"
        packed = io.BytesIO()
        np.savez(packed, **batch)  # type: ignore[arg-type]
        try:
            arrayfile.write_bytes(path, packed.getvalue())
        except LayerkitError:  # what went wrong before is what must be told
            return None
        return path

    def _again(self) -> Iterator[Net]:
        """Nets with the same weights, and in the state before the pass, that keep every blob."""
        net = self._net
        for engine in dict.fromkeys(("numpy", net.engine.name)):
            copy = Net.from_graph(self._graph(), seed=net.seed, dtype=net.dtype.name, engine=engine, keep="all")
            copy.flat.load(net.flat.arrays(), "the net")
            for name, node in copy.nodes():
                if name in self._begun.generators:
                    node.layer.rng.bit_generator.state = self._begun.generators[name]
                for key, value in self._begun.states.get(name, {}).items():
                    getattr(node.layer.state, key)[...] = value
            yield copy

    def _graph(self) -> graph.Graph:
        """A graph of layers of its own, so that the train net is left as it is."""
        layers = [graph.as_tree(node.spec) for node in self._net.graph.nodes]
        state = self._net.graph.state
        net = load_run({"layers": layers, "force_backward": self._net.graph.force_backward}).net
        return graph.build(net, state.phase, state.level, state.stages, allow_python=state.allow_python)


class Skipped:
    """Tells of the samples that the sources of some nets left out, whenever others are among them."""

    def __init__(self, nets: Iterable[Net]):
        self._sources = [
            (net.graph.state.phase, layer)
            for net in nets
            for layer in net.layers.values()
            if isinstance(layer, SourceLayer)
        ]
        self._told = [(0, 0) for _ in self._sources]

    def tell(self, events: EventLog, iteration: int, *, last: bool = False) -> None:
        """Emit an event for each source with news; the `last` time also where the same samples were left out again."""
        for i, (phase, source) in enumerate(self._sources):
            now = len(source.skipped), sum(source.skipped.values())
            if now[0] > self._told[i][0] or (last and now != self._told[i]):
                self._told[i] = now
                first = next(iter(source.skipped))
                about = {"layer": source.name, "phase": phase, "samples": now[1], "different": now[0], "first": first}
                events.emit("skipped", iteration, **about)


def expect_something_to_train(net: Net) -> None:
    """Raise UsageError for a train net without a loss, or without a weight that learns."""
    if not any(weight for node in net.graph.nodes for weight in node.loss_weights):
        raise UsageError("no layer of the train net is a loss, so there is nothing to train")
    if not net.flat.trained:
        raise UsageError(
            "no layer of the train net has weights that learn (lr_mult above 0), so there is nothing to train"
        )


def _first(net: Net, batch: Mapping[str, Array]) -> str | None:
    """The first value that is not finite: forward in the order of the layers, then backward; None if all are."""
    with np.errstate(all="ignore"):
        with contextlib.suppress(DataError):  # a layer that refuses what is not finite; what it was given tells where
            net.forward(**dict[str, Any](batch))
            net.backward()
        blobs = net.program.binding.blobs
        for node in net.graph.nodes:
            for ref in node.tops:
                if not _finite(blobs[ref].data):
                    return f"the data of blob {ref.name!r}, top of layer {node.name!r} ({node.spec.type})"
        for node in reversed(net.graph.nodes):
            for i, weight in enumerate(node.plan.weights):
                if node.learns(i) and not _finite(net.params[node.name][i].diff):
                    return f"the diff of the {weight.name} of layer {node.name!r} ({node.spec.type})"
            for i, ref in enumerate(node.bottoms):
                if node.propagates(i) and blobs[ref].has_diff and not _finite(blobs[ref].diff):
                    return f"the diff of blob {ref.name!r}, bottom of layer {node.name!r} ({node.spec.type})"
    return None


def _bad_weight(net: Net) -> str | None:
    """The first weight in the order of the layers that is not finite; statistics are changed by the pass itself."""
    for node in net.graph.nodes:
        for weight, blob in zip(node.plan.weights, net.params[node.name], strict=True):
            if weight.learned and not _finite(blob.values):
                return f"the {weight.name} of layer {node.name!r} ({node.spec.type}), which an update made so"
    return None


def _changes(node: Node) -> bool:
    """Whether a pass changes what the layer begins the next one with; a source's samples are kept instead."""
    return (node.plan.random or bool(node.plan.state)) and not isinstance(node.layer, SourceLayer)


def _finite(array: Array) -> bool:
    """Whether all values are finite, without an array of answers: the least and the greatest tell."""
    return not array.size or (math.isfinite(array.min()) and math.isfinite(array.max()))
