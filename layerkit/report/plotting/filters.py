"""What a convolution, or an InnerProduct on images, looks for: its weights as images."""

from __future__ import annotations

import math

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.errors import UnknownNameError, UsageError
from layerkit.graph import Node
from layerkit.net import Net
from layerkit.report.plotting import tiles
from layerkit.report.plotting.tiles import Mosaic

_FILTERS, _CHANNELS = 24, 12
"""Of filters with many channels, each of which is an image, so many are shown at most."""
_SIGNS = "orange above 0, blue below"


def of(net: Net, layer: str | None = None) -> Mosaic:
    """The filters of a layer; by default of the first convolution, else of the first InnerProduct on images.

    Filters of three channels are shown in colour where they see the net's input, each from its smallest to its greatest
    weight; others channel by channel, with a colour for either sign, each filter by its largest magnitude. Raises
    UnknownNameError, and UsageError for a layer without filters that are images.
    """
    node = _node(net, layer)
    weight = _as_images(net, node)  # (filters, channels, height, width)
    count, channels, height, width = weight.shape
    title = f"{node.name}: {count:,} filters of {channels}x{height}x{width}"
    if channels == 1 or (channels == 3 and node.bottoms[0].name in net.inputs):
        chosen = weight[: tiles.MOST]
        images = [tiles.signed(each[0]) for each in chosen] if channels == 1 else _photos(net, node, chosen)
        note = _SIGNS if channels == 1 else "each from its smallest to its greatest weight"
        columns = tiles.columns_for(len(images), height, width)
        left_out = [f"the first {len(images)}"] if len(images) < count else []
    else:
        chosen = weight[:_FILTERS, :_CHANNELS]
        scaled = [tiles.signed(each, max(map(abs, tiles.extent(weight[i])))) for i, each in enumerate(chosen)]
        columns = len(scaled)
        images = [each[channel] for channel in range(chosen.shape[1]) for each in scaled]
        note = f"a column a filter, a row a channel; {_SIGNS}"
        left_out = [f"the first {_FILTERS}"] if count > _FILTERS else []
        left_out += [f"{_CHANNELS} of their channels"] if channels > _CHANNELS else []
    return Mosaic(title, "; ".join([*left_out, note]), tiles.mosaic(images, columns))


def _photos(net: Net, node: Node, weight: Array) -> list[Array]:
    info = net.graph.samples.get(node.bottoms[0].name)
    return [tiles.photo(each, "RGB" if info is None else info.channel_order) for each in weight]


def _node(net: Net, layer: str | None) -> Node:
    nodes = {node.name: node for node in net.graph.nodes}
    if layer is not None:
        if layer not in nodes:
            raise UnknownNameError("layer", layer, nodes)
        return nodes[layer]
    for kind in ("Convolution", "InnerProduct"):
        for node in nodes.values():
            if node.spec.type == kind and (kind == "Convolution" or _image(net, node) is not None):
                return node
    raise UsageError("the net has no convolution, and no InnerProduct on images, whose filters could be drawn")


def _image(net: Net, node: Node) -> tuple[int, int, int] | None:
    """The shape of the images that an InnerProduct reads; None where it reads something else."""
    _, *shape = net.graph.shapes[node.bottoms[0]]
    if len(shape) == 3 and shape[0] in (1, 3) and math.prod(shape[1:]) > 1 and node.layer.params.axis in (1, -3):
        return shape[0], shape[1], shape[2]
    return None


def _as_images(net: Net, node: Node) -> Array:
    if "weight" not in [weight.name for weight in node.plan.weights]:
        raise UsageError(f"layer {node.name!r} ({node.spec.type}) has no weight that could be drawn as filters")
    weight = np.asarray(net.params[node.name].weight.data, np.float64)
    if node.spec.type == "InnerProduct":
        image = _image(net, node)
        if image is None:
            read = shape_text(net.graph.shapes[node.bottoms[0]][1:])
            raise UsageError(
                f"layer {node.name!r} reads samples of {read}, which are no images; draw it with --weights"
            )
        return (weight.T if node.layer.params.transpose else weight).reshape(-1, *image)
    if weight.ndim == 3:  # a convolution along one axis
        weight = weight[:, :, np.newaxis]
    if weight.ndim != 4:
        raise UsageError(f"the weight of layer {node.name!r} is {shape_text(weight.shape)}; only images can be drawn")
    return weight
