"""What is in the picture of a net: boxes and what flows between them.

A use of a block is one box unless it is unfolded. Activations and normalizations stand under the layer whose only
reader they are, as strips of its box.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from layerkit.blob import shape_text
from layerkit.graph import Graph, Node, Ref
from layerkit.graph.table import rows, total
from layerkit.registry import family
from layerkit.report.drawing.bodies import opened
from layerkit.report.drawing.parts import Part, part
from layerkit.words import counted

_STRIPS = ("activation", "normalization")
_FEWEST = 3
"""Layers of a common first name that stand for a block where the net has no blocks, as a snapshot's has not."""


@dataclass(frozen=True)
class Box:
    """A layer with the strips under it, or a block."""

    parts: tuple[Part, ...]
    """The layers, in order; those of a block come before its strips."""
    folded: int = 0
    """How many of the parts are inside the folded block; 0: the first part is a layer, drawn as such."""
    block: str = ""
    """The block's name, for a folded one that came from a block."""
    name: str = ""
    frames: tuple[str, ...] = ()
    """The uses of blocks that the layer is in, outermost first, where they are unfolded."""

    @property
    def family(self) -> str:
        """The family of what has most weights, which gives the colour."""
        inside = self.parts[: max(1, self.folded)]
        return max(inside, key=lambda each: each.size).family

    @property
    def strips(self) -> tuple[Part, ...]:
        """The layers under the first, or under the block."""
        return self.parts[max(1, self.folded) :]

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands in the box under its name."""
        if not self.folded:
            return tuple(filter(None, (self.parts[0].type, self.parts[0].gist)))
        weights = sum(each.weights for each in self.parts[: self.folded])
        count = counted(self.folded, "layer")
        return tuple(filter(None, (self.block, count, counted(weights, "weight") if weights else "")))

    @property
    def tooltip(self) -> str:
        """What a reader sees who points at the box."""
        if not self.folded:
            return self.parts[0].tooltip
        inside = [f"{each.name} ({each.type}) {each.gist}".rstrip() for each in self.parts[: self.folded]]
        return "\n".join([f"{self.name}: {', '.join(self.lines)}", *inside])


@dataclass(frozen=True)
class Edge:
    """A version of a blob that goes from one box to another."""

    source: int
    target: int
    ref: Ref
    shape: str
    """What is written above it."""
    below: str = ""
    """What is written below it, if anything."""


@dataclass(frozen=True)
class Picture:
    """Boxes in the order in which they run, and the edges between them."""

    title: str
    subtitle: str
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]

    @property
    def doubled(self) -> bool:
        """Whether anything is written below edges."""
        return any(edge.below for edge in self.edges)


def of(graph: Graph, *, expand: bool = False) -> Picture:
    """The picture of a graph; with `expand`, blocks and bodies are unfolded."""
    graph = opened(graph) if expand else graph
    nodes = graph.nodes
    groups = [node.name for node in nodes] if expand else _folded(nodes)
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    under = _strips(nodes, groups)
    home: dict[int, int] = {}
    boxes: list[Box] = []
    table = rows(graph)
    parts = [part(node, graph, row) for node, row in zip(nodes, table, strict=True)]
    for name, indices in members.items():
        if indices[0] in under:
            home[indices[0]] = at = home[under[indices[0]]]
            boxes[at] = replace(boxes[at], parts=(*boxes[at].parts, parts[indices[0]]))
            continue
        first = nodes[indices[0]]
        folded = len(indices) if name != first.name else 0
        block = first.spec.uses[-1].block if folded and first.spec.uses else ""
        frames = tuple(use.name for use in reversed(first.spec.uses)) if expand else ()
        home |= dict.fromkeys(indices, len(boxes))
        inside = tuple(parts[index] for index in indices)
        boxes.append(Box(inside, folded, block, name, frames))
    subtitle = f"{graph.state.phase}: {total(table)}"
    return Picture(graph.name or "net", subtitle, tuple(boxes), tuple(_edges(graph, home)))


def _edges(graph: Graph, home: Mapping[int, int]) -> Iterable[Edge]:
    """Every blob that goes from one box to another, once for each pair of boxes."""
    makers = {ref: index for index, node in enumerate(graph.nodes) for ref in node.tops}
    edges: dict[Edge, None] = {}
    for index, node in enumerate(graph.nodes):
        for ref in node.bottoms:
            source, target = home[makers[ref]], home[index]
            if source != target:
                edges[Edge(source, target, ref, shape_text(graph.shapes[ref]))] = None
    return edges


def _folded(nodes: Sequence[Node]) -> list[str]:
    """For each node the name of the box that it is folded into, or its own.

    A block is left unfolded where its box would have to run both before and after another one.
    """
    blocks = any(node.spec.uses for node in nodes)
    wanted = [node.spec.uses[-1].name if node.spec.uses else node.name for node in nodes] if blocks else _stems(nodes)
    if _sorted(nodes, wanted):
        return wanted
    groups = [node.name for node in nodes]
    for name in dict.fromkeys(wanted):
        tried = [name if want == name else group for want, group in zip(wanted, groups, strict=True)]
        if _sorted(nodes, tried):
            groups = tried
    return groups


def _stems(nodes: Sequence[Node]) -> list[str]:
    """The first part of a node's name where it makes a block, else the name."""
    stems = [node.name.split("/")[0] for node in nodes]
    kept = {node.name for node in nodes} | {
        stem for node, stem in zip(nodes, stems, strict=True) if node.spec.cls.loss or not node.bottoms
    }
    return [
        stem if stem not in kept and stems.count(stem) >= _FEWEST else node.name
        for node, stem in zip(nodes, stems, strict=True)
    ]


def _sorted(nodes: Sequence[Node], groups: Sequence[str]) -> bool:
    """Whether the groups can be run one after the other."""
    makers = {ref: group for node, group in zip(nodes, groups, strict=True) for ref in node.tops}
    before: dict[str, set[str]] = {group: set() for group in groups}
    for node, group in zip(nodes, groups, strict=True):
        before[group] |= {makers[ref] for ref in node.bottoms} - {group}
    try:
        TopologicalSorter(before).prepare()
    except CycleError:
        return False
    return True


def _strips(nodes: Sequence[Node], groups: Sequence[str]) -> dict[int, int]:
    """The nodes that are drawn under another one, each with that."""
    readers: dict[Ref, list[int]] = {}
    for index, node in enumerate(nodes):
        for ref in node.bottoms:
            readers.setdefault(ref, []).append(index)
    found: dict[int, int] = {}
    for maker, node in enumerate(nodes):
        reader = readers.get(node.tops[0], []) if len(node.tops) == 1 and node.bottoms else []
        if len(reader) == 1 and _is_strip(nodes[reader[0]], groups[reader[0]]):
            found[reader[0]] = maker
    return found


def _is_strip(node: Node, group: str) -> bool:
    alone = len(node.bottoms) == len(node.tops) == 1 and group == node.name
    return alone and family(node.spec.type) in _STRIPS and node.spec.type != "Softmax"
