"""Segments: layers whose tops are not kept for the backward pass but computed again when it gets there.

That trades about one more forward pass for most of the memory of activations. Source: Chen et al. 2016, Training deep
nets with sublinear memory cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerkit.graph.node import Node
from layerkit.spec import NetSpec


def find_segments(nodes: Sequence[Node], net: NetSpec) -> dict[int, str]:
    """The segment of each node that is in one: the use of a block that says `recompute`, the outermost of several.

    Where the net says it, all layers form about as many segments as each then has layers. Sources, and layers whose
    shapes depend on data or that hold nets, are in none.
    """
    able = [i for i, node in enumerate(nodes) if node.bottoms and not node.plan.dynamic and not node.plan.bodies]
    if net.recompute:
        length = max(1, math.isqrt(len(able)))
        return {node: f"part {i // length}" for i, node in enumerate(able)}
    found = {i: _use(nodes[i], net) for i in able}
    return {i: use for i, use in found.items() if use is not None}


def _use(node: Node, net: NetSpec) -> str | None:
    """The full name of the outermost use, around a layer, of a block that is to be computed again."""
    for depth, use in enumerate(reversed(node.spec.uses), 1):
        block = net.blocks.get(use.block)
        if block is not None and block.recompute:
            return "/".join(node.name.split("/")[:depth])
    return None
