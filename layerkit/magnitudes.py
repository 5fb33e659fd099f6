"""How large a net's numbers are: norms for every display and, with debug_info, the mean magnitude in every layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from layerkit.blob import Array, Blob
from layerkit.errors import UsageError
from layerkit.graph.units import Unit, unit_steps
from layerkit.net import Net
from layerkit.updaters.base import CHUNK

Line = dict[str, Any]


def l1_norm(flat: Array) -> float:
    """The sum of magnitudes of an array of one axis."""
    return sum(float(np.abs(part).sum()) for part in _chunks(flat))


def l2_norm(flat: Array) -> float:
    """The root of the sum of squares of an array of one axis; takes no memory."""
    return math.sqrt(sum(float(np.dot(part, part)) for part in _chunks(flat)))


def mean_abs(array: Array) -> float:
    """The mean magnitude of an array's numbers; 0 if it has none."""
    return float(np.abs(array).mean(dtype=np.float64)) if array.size else 0.0


class DebugInfo:
    """Mean magnitudes of everything that one iteration computed, as the event `debug_info` has them.

        forward   for each layer, top after top and weight after weight: layer, top or weight, data
        backward  for each layer, backwards: layer, bottom or weight, diff
        update    for each trained weight: layer, weight, data (after the update), diff (the step that was made)
        norms     of all trained weights and their gradients: l1 and l2, each [data, diff], before the update

    Make it between the backward pass and the update; `after_update` gives the fields. With iter_size above 1 it speaks
    of the last batch, and the gradients are sums over all.

    Versions of a blob that in-place layers share a name for are told apart, each with the layer that made it. Layers
    that an engine runs as one stand in one line, as `conv1+relu1`: what passes between them is nowhere to be seen. Of a
    blob that several layers read, each has in `backward` what it gave itself.

    Source: Caffe's Net::ForwardDebugInfo, BackwardDebugInfo and UpdateDebugInfo.
    """

    def __init__(self, net: Net):
        self._net = net
        self._before = net.flat.values.copy()
        binding = net.program.binding
        self._nodes, self._units, self._blobs, self._parts = (
            net.graph.nodes,
            binding.units,
            binding.blobs,
            binding.parts,
        )
        flat = net.flat
        self._fields: dict[str, Any] = {
            "forward": list(self._forward()),
            "backward": list(self._backward()),
            "norms": {
                "l1": [l1_norm(flat.values), l1_norm(flat.diff)],
                "l2": [l2_norm(flat.values), l2_norm(flat.diff)],
            },
        }

    def after_update(self) -> dict[str, Any]:
        """All fields of the event."""
        flat = self._net.flat
        step = self._before - flat.values
        update = [
            {
                "layer": slot.layer,
                "weight": slot.name,
                "data": mean_abs(flat.values[slot.span]),
                "diff": mean_abs(step[slot.span]),
            }
            for slot in flat.trained
        ]
        return {**self._fields, "update": update}

    def _forward(self) -> Iterator[Line]:
        for unit in self._units:
            for ref in unit.tops:
                yield {"layer": self._name(unit), "top": ref.name, "data": mean_abs(self._blobs[ref].data)}
            for i in unit.nodes:
                layer = self._nodes[i].name
                for name, blob in self._net.params[layer].items():
                    yield {"layer": layer, "weight": name, "data": mean_abs(blob.values)}

    def _backward(self) -> Iterator[Line]:
        for index, down, asked in unit_steps(self._units, self._net.graph.backward(None)):
            unit = self._units[index]
            for i, (ref, goes) in enumerate(zip(unit.bottoms, down, strict=True)):
                if goes:
                    blob: Blob = self._parts.get((unit.nodes[0], i), self._blobs[ref])
                    yield {"layer": self._name(unit), "bottom": ref.name, "diff": mean_abs(blob.diff)}
            for i, names in reversed(list(zip(unit.nodes, asked, strict=True))):
                layer = self._nodes[i].name
                for name, blob in self._net.params[layer].items():
                    if name in names:
                        yield {"layer": layer, "weight": name, "diff": mean_abs(blob.diff)}

    def _name(self, unit: Unit) -> str:
        return "+".join(self._nodes[i].name for i in unit.nodes)


def expect_readable(net: Net) -> None:
    """Raise UsageError for a net in planned memory, where most blobs are gone when a pass has ended."""
    if net.program.binding.first_in_place:  # as it is there, and nowhere else
        raise UsageError("debug_info reads every blob after a pass; make the solver with keep='all'")


def _chunks(flat: Array) -> Iterator[Array]:
    return (flat[start : start + CHUNK] for start in range(0, flat.size, CHUNK))
