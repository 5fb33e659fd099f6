"""Random graphs with branches, in-place layers and shared weights: gradients, and every way to cut a pass in two."""

from __future__ import annotations

import random

import numpy as np
import pytest
from net_tools import check_gradients, fill, make

import layerkit as lk


def layers(seed: int) -> str:
    """A net in which any layer may read any blob above, and all blobs meet at the end."""
    draw = random.Random(seed)
    lines, blobs = ["- {name: data, type: Input, shape: [3, 3]}"], ["data"]
    for i in range(draw.randint(3, 9)):
        bottom, kind = draw.choice(blobs), draw.choice(["learned", "shared", "unary", "in place", "join", "join"])
        activation = draw.choice(["Sigmoid", "TanH", "ReLU"])
        if kind == "in place" and bottom != "data":
            lines.append(f"- {{name: l{i}, type: {activation}, bottom: {bottom}, top: {bottom}}}")
            continue
        operation = draw.choice(["SUM", "PROD"])
        several = ", ".join(draw.choice(blobs) for _ in range(draw.randint(2, 3)))
        lines.append(
            {
                "learned": f"- {{name: l{i}, type: InnerProduct, bottom: {bottom}, num_output: 3}}",
                "shared": f"- {{name: l{i}, type: InnerProduct, bottom: {bottom}, num_output: 3, "
                "param: [{name: w}, {name: b}]}",
                "join": f"- {{name: l{i}, type: Eltwise, bottom: [{several}], operation: {operation}}}",
            }.get(kind, f"- {{name: l{i}, type: {activation}, bottom: {bottom}}}")
        )
        blobs.append(f"l{i}")
    lines += [
        f"- {{name: last, type: Eltwise, bottom: [{', '.join([*blobs, blobs[-1]])}]}}",
        "- {name: fc, type: InnerProduct, num_output: 3}",
        "- {name: loss, type: EuclideanLoss, bottom: [fc, data]}",
        f"- {{name: aside, type: EuclideanLoss, bottom: [{draw.choice(blobs)}, data], loss_weight: 0.7}}",
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(16))
def test_gradients_and_cuts_of_a_random_graph(seed: int) -> None:
    net = fresh(seed)
    check_gradients(net)
    net.forward()
    net.backward()
    names = [node.name for node in net.graph.nodes]
    for k in range(1, len(names)):
        parts = fresh(seed)
        parts.forward(end=names[k - 1])
        parts.forward(start=names[k])
        assert parts.loss == net.loss
        parts.backward(end=names[k])
        parts.backward(start=names[k - 1], accumulate=True)
        np.testing.assert_allclose(parts.flat.diff, net.flat.diff, rtol=1e-10, err_msg=f"cut above {names[k]}")
    steps = fresh(seed)
    for name in names:
        steps.forward(start=name, end=name)
    for name in reversed(names):
        steps.backward(start=name, end=name, accumulate=True)
    np.testing.assert_allclose(steps.flat.diff, net.flat.diff, rtol=1e-10, err_msg="layer by layer")


def fresh(seed: int) -> lk.Net:
    net = make(layers(seed))
    fill(net)
    return net
