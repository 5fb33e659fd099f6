"""What a net's passes will take up, before any of them has run."""

from __future__ import annotations

from layerkit.loops import prepare as prepare_bodies
from layerkit.net import Net


def prepare(net: Net) -> None:
    """Make what a net's passes take, so that `net.bytes` tells it; what depends on data counts as it is at the most."""
    if net.trains:
        net.program.backward_from_losses()
    prepare_bodies(net.graph, net.graph.backward(None) if net.trains else ())
