"""Saved blobs as the weights of a net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.convert.caffemodel import SavedLayer
from layerkit.convert.report import Report
from layerkit.graph import Graph
from layerkit.spec.layer import describe
from layerkit.words import counted

_STATISTICS = ["mean", "variance", "scale_factor"]


def of_net(built: Graph, saved: Iterable[SavedLayer], renamed: Mapping[str, str], report: Report) -> dict[str, Array]:
    """By `layer.weight`, the net's weights as far as the layers of a caffemodel hold them, in the net's shapes.

    `renamed` are names of layers that the conversion changed. What does not fit is added to the report.
    """
    blobs = {renamed.get(layer.name, layer.name): layer.blobs for layer in saved if layer.blobs}
    arrays = {}
    for node in built.nodes:
        shapes = {weight.name: weight.shape for weight in node.plan.weights}
        found = blobs.pop(node.name, ())
        where = describe(node.name, node.spec.type)
        if not shapes:
            continue
        if not found:
            report.notes.add("the weights have nothing for it; it starts as its fillers say", where)
            continue
        found = _in_order(list(shapes), found)
        if len(found) != len(shapes):
            own = f"{counted(len(shapes), 'weight')} ({', '.join(shapes)})"
            report.problems.add(f"has {own}, but the file has {len(found)} for it", where)
            continue
        for (name, shape), array in zip(shapes.items(), found, strict=True):
            if _bare(array.shape) != _bare(shape):
                is_, was = shape_text(shape), shape_text(array.shape)
                report.problems.add(f"its {name} is {is_}, but the saved one is {was}; it is left out", where)
            else:
                arrays[f"{node.name}.{name}"] = array.reshape(shape)
    if blobs:
        listed = ", ".join(list(blobs)[:5]) + (" ..." if len(blobs) > 5 else "")
        report.notes.add(
            f"the weights of {counted(len(blobs), 'layer')} that the net does not have are left out: {listed}"
        )
    return arrays


def _in_order(names: list[str], found: tuple[Array, ...]) -> tuple[Array, ...]:
    """The blobs in the order of the weights' names: branches save BatchNorm's in other ways."""
    one = np.ones(1, np.float32)
    if names[:3] == _STATISTICS and len(found) == 2 and len(names) == 3:  # mean and variance as they are
        return (*found, one)
    if names[:3] == _STATISTICS and len(found) == 4 and len(names) == 5:  # PSPNet's BN: slope, bias, mean, variance
        scale, bias, mean, variance = found
        return mean, variance, one, scale, bias
    return found


def _bare(shape: Shape) -> Shape:
    """A shape without its lengths of 1: old files give every blob four axes."""
    return tuple(size for size in shape if size != 1)
