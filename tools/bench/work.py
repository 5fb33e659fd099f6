"""How much arithmetic a net is: the multiply-adds of its convolutions and inner products. The rest is not counted."""

from __future__ import annotations

import math

from layerkit.graph import Graph, Node

FLOPS = 2
"""A multiply-add counts as two floating-point operations."""


def multiply_adds(node: Node) -> int:
    """Of one layer, forward, for the whole batch; computing either of its gradients takes as many again."""
    if node.spec.type not in ("Convolution", "InnerProduct"):
        return 0
    weight = node.plan.weights[0].shape
    outputs = sum(math.prod(top) for top in node.plan.tops)
    return outputs * math.prod(weight) // node.spec.params.num_output  # each output is one product with one kernel


def predict_flops(net: Graph) -> int:
    """Of a forward pass over a batch."""
    return FLOPS * sum(map(multiply_adds, net.nodes))


def train_flops(net: Graph) -> int:
    """Of a training step: forward, the gradient of each weight, and of each bottom that leads to a weight."""
    passes = [
        (net.nodes[step.node], ("weight" in step.asked) + any(step.propagate_down)) for step in net.backward(None)
    ]
    return predict_flops(net) + FLOPS * sum(multiply_adds(node) * count for node, count in passes)
