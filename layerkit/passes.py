"""A backward pass made ready to run: which diff every reader writes, what is summed, and what every top starts from."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from layerkit.blob import Alias, Array, Blob
from layerkit.errors import LayerkitError, UnknownNameError
from layerkit.graph import Graph, Ref, Step
from layerkit.layer import Layer, SourceLayer

Reader = tuple[int, int]
"""A node's index and the number of one of its bottoms."""


class Top(NamedTuple):
    """What a top's diff is before its layer runs backward: readers' sum, if any wrote, plus the loss weight or seed."""

    ref: Ref
    blob: Blob
    written: bool
    """Whether readers have written it in this pass."""
    kept: bool
    """Whether it stays as it was found: a partial pass starts at it."""
    weight: float


@dataclass
class Ready:
    """One layer's part in a backward pass, with the blobs that it is given."""

    layer: Layer
    tops: list[Blob]
    propagate_down: tuple[bool, ...]
    bottoms: list[Blob]
    asked: frozenset[str]
    before: list[Top] = field(default_factory=list)
    """The tops whose diffs need more than what readers gave."""
    sums: list[tuple[Blob, list[Blob]]] = field(default_factory=list)
    """Blobs whose last reader this is, each with the blobs whose diffs make up its own."""

    def run(self, seeds: Mapping[Ref, Array]) -> None:
        """Set the tops' diffs, run the layer backward, and sum what several readers gave."""
        for ref, blob, written, kept, weight in self.before:
            seed = seeds.get(ref)
            start = weight if seed is None else seed
            if written:
                if seed is not None or weight:
                    blob.diff[...] += start
            elif not kept or seed is not None:
                blob.diff[...] = start
        self.layer.asked = self.asked
        self.layer.backward(self.tops, self.propagate_down, self.bottoms)
        for blob, (first, *others) in self.sums:
            total = blob.diff
            np.copyto(total, first.diff)
            for other in others:
                np.add(total, other.diff, out=total)


class ForwardStep(NamedTuple):
    """One layer's part in a forward pass, with the blobs that it is given."""

    node: int
    layer: Layer
    bottoms: list[Blob]
    tops: list[Blob]
    refs: tuple[Ref, ...]
    """The tops' names."""
    makes: frozenset[str]
    """Of a layer without bottoms, the blobs that may be given from outside instead."""
    varies: bool
    """Whether the layer decides the shapes of its tops."""


def forward_steps(graph: Graph, blobs: Mapping[Ref, Blob]) -> list[ForwardStep]:
    """The layers in the order in which they run."""
    return [
        ForwardStep(
            index,
            node.layer,
            [blobs[ref] for ref in node.bottoms],
            [blobs[ref] for ref in node.tops],
            node.tops,
            frozenset() if node.bottoms else frozenset(ref.name for ref in node.tops),
            isinstance(node.layer, SourceLayer) or node.plan.dynamic,
        )
        for index, node in enumerate(graph.nodes)
    ]


def name_layer(error: Exception, layer: Layer | None) -> None:
    """Put the layer's name in front of what its own code raised; an error that is not ours gets a note."""
    if layer is None:
        return
    where = f"layer {layer.name!r} ({type(layer).__name__})"
    if isinstance(error, LayerkitError) and error.args and not isinstance(error, UnknownNameError):
        error.args = (f"{where}: {error.args[0]}", *error.args[1:])
    else:
        error.add_note(f"in {where}")


@dataclass
class BackwardPass:
    """The steps of one kind of backward pass, in the order in which they run."""

    steps: list[Ready]
    ran: frozenset[str]
    """Names of the layers that run."""
    written: frozenset[Ref]
    """The blobs whose diffs it writes."""

    def run(self, seeds: Mapping[Ref, Array]) -> None:
        """Run the steps from the seeds, or from the loss weights."""
        step: Ready | None = None
        try:
            for step in self.steps:
                step.run(seeds)
        except Exception as error:
            name_layer(error, step.layer if step else None)
            raise


def make_ready(
    graph: Graph,
    steps: Sequence[Step],
    layers: Mapping[str, Layer],
    blobs: Mapping[Ref, Blob],
    own: MutableMapping[Reader, Blob],
    *,
    partial: bool,
    seeded: bool,
) -> BackwardPass:
    """Bind steps to blobs.

    A blob's only reader writes the blob's own diff. Where several can, each writes a blob with a diff of its own, which
    `own` keeps from pass to pass, and the blob's diff becomes their sum once the last of them has run.

    With `partial` the pass starts below the net's end: what readers above the start gave in an earlier pass counts as
    it is found there, and so does the diff of a top that no layer of this pass could write. With `seeded`, seeds take
    the place of loss weights.
    """
    readers = _readers(graph)
    start = steps[0].node if partial and steps else len(graph.nodes)
    final = {ref: step.node for step in steps for ref in _bottoms_reached(graph, step)}
    gave: dict[Ref, list[Blob]] = {}
    ready: list[Ready] = []
    for index, down, asked in steps:
        node = graph.nodes[index]
        tops = [
            Top(
                ref,
                blobs[ref],
                ref in gave,
                partial and ref not in gave and (ref not in readers or readers[ref][-1][0] > start),
                0.0 if seeded else weight,
            )
            for ref, weight in zip(node.tops, node.loss_weights, strict=True)
        ]
        bottoms = [blobs[ref] for ref in node.bottoms]
        for i, (ref, goes) in enumerate(zip(node.bottoms, down, strict=True)):
            if not goes:
                continue
            if len(readers[ref]) == 1:
                gave[ref] = []
                continue
            if ref not in gave:
                gave[ref] = [_own(own, reader, blobs[ref]) for reader in readers[ref] if reader[0] > start]
            bottoms[i] = _own(own, (index, i), blobs[ref])
            gave[ref].append(bottoms[i])
        reached = dict.fromkeys(ref for ref, goes in zip(node.bottoms, down, strict=True) if goes)
        ready.append(
            Ready(
                layers[node.name],
                [blobs[ref] for ref in node.tops],
                down,
                bottoms,
                asked,
                before=[top for top in tops if not top.written or top.weight or seeded],
                sums=[(blobs[ref], gave[ref]) for ref in reached if final[ref] == index and gave[ref]],
            )
        )
    return BackwardPass(ready, frozenset(graph.nodes[step.node].name for step in steps), frozenset(gave))


def _readers(graph: Graph) -> dict[Ref, list[Reader]]:
    """The readers of every blob that could give it a gradient, in the order in which they run forward."""
    readers: dict[Ref, list[Reader]] = {}
    for index, node in enumerate(graph.nodes):
        for i, ref in enumerate(node.bottoms):
            if node.propagates(i):
                readers.setdefault(ref, []).append((index, i))
    return readers


def _bottoms_reached(graph: Graph, step: Step) -> list[Ref]:
    return [ref for ref, goes in zip(graph.nodes[step.node].bottoms, step.propagate_down, strict=True) if goes]


def _own(own: MutableMapping[Reader, Blob], reader: Reader, blob: Blob) -> Blob:
    if reader not in own:
        own[reader] = Alias(blob)
    return own[reader]
