"""The nets that are measured: YAML files beside this one, from small to large."""

from __future__ import annotations

import math
from pathlib import Path

from layerkit import graph
from layerkit.graph import Graph

FOLDER = Path(__file__).parent / "nets"
NAMES = ("mlp", "lenet", "cifar10_quick", "alexnet", "googlenet", "resnet18", "mobilenet_v2")
"""In the order of measuring."""


def path(name: str) -> Path:
    """Where a net's YAML lies."""
    return FOLDER / f"{name}.yaml"


def train_graph(name: str) -> Graph:
    """A net's graph in the train phase."""
    return graph.load(str(path(name)), ["train"]).graphs["train"]


def batch(net: Graph) -> int:
    """Samples in a batch."""
    return net.nodes[0].plan.tops[0][0]


def parameters(net: Graph) -> int:
    """How many numbers training changes; statistics are none of them."""
    return sum(
        math.prod(weight.shape)
        for node in net.nodes
        for index, weight in enumerate(node.plan.weights)
        if node.learns(index)
    )
