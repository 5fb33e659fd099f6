"""A backward pass made ready to run: which diff every reader writes, what is summed, and what every top starts from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from layerkit.blob import Array, Blob
from layerkit.graph import Graph, Ref, Step
from layerkit.layer import Layer


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
    sums: list[tuple[Blob, Blob]] = field(default_factory=list)
    """Pairs of a blob and a further reader's blob whose diff is added to its diff afterwards."""

    def run(self, seeds: Mapping[Ref, Array]) -> None:
        """Set the tops' diffs, run the layer backward, and sum what several readers gave."""
        for ref, blob, written, kept, weight in self.before:
            seed = seeds.get(ref)
            start = weight if seed is None else seed
            if written:
                blob.diff[...] += start
            elif not kept or seed is not None:
                blob.diff[...] = start
        self.layer.asked = self.asked
        self.layer.backward(self.tops, self.propagate_down, self.bottoms)
        for blob, other in self.sums:
            blob.diff[...] += other.diff


@dataclass
class BackwardPass:
    """The steps of one kind of backward pass, in the order in which they run."""

    steps: list[Ready]
    ran: frozenset[str]
    """Names of the layers that run."""
    written: frozenset[Ref]
    """The blobs whose diffs it writes."""


def make_ready(
    graph: Graph,
    steps: Sequence[Step],
    layers: Mapping[str, Layer],
    blobs: Mapping[Ref, Blob],
    reader: Mapping[tuple[int, int], Blob],
    *,
    partial: bool,
    seeded: bool,
) -> BackwardPass:
    """Bind steps to blobs.

    `reader` gives each (node, bottom) whose blob has several readers a blob with a diff of its own. The first reader to
    run writes the blob's own diff; the others write theirs, which are then added. In a `partial` pass a top that no
    running layer reads keeps the diff that it has. With `seeded`, seeds take the place of loss weights.
    """
    written: set[Ref] = set()
    outside = _read_outside(graph, steps) if partial else frozenset()
    ready: list[Ready] = []
    for index, down, asked in steps:
        node = graph.nodes[index]
        bottoms: list[Blob] = []
        sums: list[tuple[Blob, Blob]] = []
        tops = [
            Top(
                ref,
                blobs[ref],
                ref in written,
                partial and ref in outside and ref not in written,
                0.0 if seeded else weight,
            )
            for ref, weight in zip(node.tops, node.loss_weights, strict=True)
        ]
        for i, (ref, goes) in enumerate(zip(node.bottoms, down, strict=True)):
            first = ref not in written
            bottoms.append(blobs[ref] if first else reader[index, i])
            if goes and first:
                written.add(ref)
            elif goes:
                sums.append((blobs[ref], bottoms[-1]))
        needs_start = [top for top in tops if not top.written or top.weight or seeded]
        top_blobs = [blobs[ref] for ref in node.tops]
        ready.append(Ready(layers[node.name], top_blobs, down, bottoms, asked, needs_start, sums))
    return BackwardPass(ready, frozenset(graph.nodes[step.node].name for step in steps), frozenset(written))


def _read_outside(graph: Graph, steps: Sequence[Step]) -> Collection[Ref]:
    """The blobs with a reader that does not run in this pass, and those that nobody reads at all."""
    running = {step.node for step in steps}
    read = {ref for node in graph.nodes for ref in node.bottoms}
    outside = {ref for i, node in enumerate(graph.nodes) if i not in running for ref in node.bottoms}
    return outside | (set(graph.shapes) - read)
