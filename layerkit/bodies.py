"""A net inside a layer, as the layer sees it: the callable that the layer contract speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from layerkit.blob import Array
from layerkit.graph import Graph, Node, Ref


class RunningBody:
    """A layer's body at run time."""

    def __init__(self, net: Any, outputs: Sequence[str]):
        self.net = net
        self.outputs = list(outputs)

    def forward(self, **inputs: Array) -> dict[str, Array]:
        """Run the body and return its outputs, as live views."""
        given: dict[str, Any] = inputs
        self.net.forward(**given)
        return {name: self.net.blobs[name].data for name in self.outputs}

    def backward(self, *, accumulate: bool = False, **diffs: Array) -> dict[str, Array]:
        """Run the body backward from diffs of its outputs; returns its inputs' diffs, as live views."""
        given: dict[str, Any] = diffs
        diffs_of_inputs: dict[str, Array] = self.net.backward(accumulate=accumulate, **given)
        return diffs_of_inputs

    def reshape(self, graph: Graph) -> None:
        """Plan the body again for other shapes of its inputs; those of other blobs follow from them."""
        wanted: dict[str, Any] = {name: graph.shapes[Ref(name)] for name in self.net.inputs}
        self.net.reshape(**wanted)

    def nodes(self) -> Iterator[tuple[str, Node]]:
        """Every layer's node with its full name, those inside further bodies too."""
        yield from self.net.nodes()

    @property
    def bytes(self) -> int:
        """Bytes of the blobs and work arrays."""
        return int(self.net.bytes["blobs"])
