"""One call of a tape: a net of just that layer, which is fed with the call's bottoms and kept from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from layerkit import graph
from layerkit.blob import Array
from layerkit.eager.parameters import Parameters
from layerkit.eager.variable import Variable
from layerkit.net import Net
from layerkit.passes import naming
from layerkit.spec import NetSpec
from layerkit.text import Map, from_python


class Settings(NamedTuple):
    """What all calls of a tape have in common."""

    phase: str
    seed: int
    dtype: str
    engine: str
    allow_python: bool


class Private(NamedTuple):
    """States of layers and of their generators, by layer."""

    states: dict[str, Array]
    generators: dict[str, Any]


class Step(NamedTuple):
    """A call as it ran: the layer, what it read and made, and the private state that it began with."""

    call: Call
    bottoms: tuple[Variable, ...]
    tops: tuple[Variable, ...]
    before: Private


class Call:
    """A layer with what it planned. `tree` is its mapping in YAML, with the shapes of its bottoms beside it.

    `owner` gives its weights their names; they must be `known` already where another call is to have made them. Raises
    ConfigError for a wrong setting or shape, ShapeError where weights that are there already do not fit, UsageError
    where none are that should be.
    """

    def __init__(
        self,
        tree: Map,
        shapes: Sequence[Sequence[int]],
        owner: str,
        parameters: Parameters,
        settings: Settings,
        known: bool = False,
    ):
        self.tree = tree
        self.owner = owner
        names = tree.get("bottom", [])
        # a blob that is read twice is fed in twice, so that each reading has a gradient of its own, as in a whole net
        self.feeds = [f"{name}/{i}" if name in names[:i] else name for i, name in enumerate(names)]
        inputs = [
            from_python({"name": feed, "type": "Input", "top": feed, "shape": list(shape)})
            for feed, shape in zip(self.feeds, shapes, strict=True)
        ]
        layer = Map(tree, tree.mark)
        if names:
            layer["bottom"] = self.feeds
        built = graph.build(
            NetSpec(name=tree["name"], layers=[*inputs, layer]), settings.phase, allow_python=settings.allow_python
        )
        self.node = built.nodes[-1]
        self.keys = [
            param.name or f"{owner}.{weight.name}"
            for param, weight in zip(self.node.params, self.node.plan.weights, strict=True)
        ]
        with naming(self.node.layer):
            if known:
                parameters.expect(self.keys)
            lent = parameters.lend(self.node, self.keys, settings.seed)
        self.net = Net.from_graph(built, seed=settings.seed, dtype=settings.dtype, engine=settings.engine, given=lent)

    def fits(self, tree: Map, owner: str) -> bool:
        """Whether the same can run again."""
        return self.tree == tree and self.owner == owner

    def forward(self, bottoms: Sequence[Array]) -> list[Array]:
        """Run the layer; returns copies of its tops."""
        given: dict[str, Any] = dict(zip(self.feeds, bottoms, strict=True))
        self.net.forward(**given)
        return [self.net.blobs[ref.name].data.copy() for ref in self.node.tops]

    def backward(self, diffs: Mapping[str, Array]) -> list[Array | None]:
        """Run the layer backward from diffs of its tops; returns those of its bottoms, None where none goes."""
        given: dict[str, Any] = dict(diffs)
        found = self.net.backward(**given)
        return [found.get(feed) for feed in self.feeds]

    def weight_diffs(self) -> dict[str, Array]:
        """What the last backward pass gave to each trained weight, by its name among the parameters."""
        slots = self.net.flat.slots
        keys = zip(self.node.plan.weights, self.keys, strict=True)
        named = {key: slots.get(f"{self.node.name}.{weight.name}") for weight, key in keys}
        return {key: slot.blob.diff for key, slot in named.items() if slot is not None and slot.trained}


def take(net: Net) -> Private:
    """The private state of a net's layers, as copies."""
    nodes = list(net.nodes())
    return Private(
        {
            f"{name}.{state.name}": getattr(node.layer.state, state.name).copy()
            for name, node in nodes
            for state in node.plan.state
        },
        {name: node.layer.rng.bit_generator.state for name, node in nodes if node.plan.random},
    )


def give(net: Net, private: Private) -> None:
    """Put private state into the layers of the same names, as far as it fits."""
    for name, node in net.nodes():
        for state in node.plan.state:
            array: Array = getattr(node.layer.state, state.name)
            held = private.states.get(f"{name}.{state.name}", np.empty(0))
            if held.shape == array.shape:
                array[...] = held
        if node.plan.random and name in private.generators:
            node.layer.rng.bit_generator.state = private.generators[name]
