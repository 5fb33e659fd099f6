"""The rule of Cond: an If for a batch; for samples both branches and a choice, or an If for one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from layerkit.convert.onnx.here import Here
from layerkit.convert.onnx.layering import Body
from layerkit.convert.onnx.rules import rule
from layerkit.convert.onnx.subgraphs import BOOL, Subgraph, column
from layerkit.convert.onnx.values import Nodes, Value
from layerkit.layers.recurrent.roles import names_of

BRANCHES = {"then_branch": "then", "else_branch": "otherwise"}
"""ONNX's names of the bodies, and layerkit's."""


@rule("Cond")
def _cond(here: Here, *bottoms: Value) -> Sequence[Value]:
    names = names_of(here.params.inputs, here.layer.bottom_names, len(bottoms))
    at = names.index(here.params.condition)
    then = here.op("Cast", bottoms[at], to=BOOL)
    given = {name: i for i, name in enumerate(names) if i != at}
    if here.params.by == "batch":
        values = {name: bottoms[i] for name, i in given.items()}
        return _branches(here, here.nodes, then, values)
    for body in here.bodies.values():
        body.expect_steady()
    both = [here.bodies[name].for_rows_of(at) for name in BRANCHES.values()]
    apart = [body for body in both if body is not None]
    if len(apart) == len(both):
        return _chosen(here, then, apart, {name: bottoms[i] for name, i in given.items()})
    return _one_by_one(here, then, given, bottoms)


def _branches(here: Here, nodes: Nodes, then: Value, given: Mapping[str, Value]) -> list[Value]:
    """What the one body gives that runs."""
    graphs = {}
    for branch, name in BRANCHES.items():
        body, inside = here.bodies[name], Subgraph(nodes, name)
        made = body.write(inside.nodes, given)
        graphs[branch] = inside.finish([(made[output], body.dims(output)) for output in here.params.outputs])
    return nodes.ops(len(here.params.outputs), "If", then, **graphs)


def _chosen(here: Here, then: Value, both: Iterable[Body], given: Mapping[str, Value]) -> list[Value]:
    """What both bodies make of all samples, whose rows do not mix, and of that the one or the other."""
    made = []
    for body in both:
        nodes = Nodes(here.nodes.constants, f"{here.nodes.prefix}{body.name}.", here.nodes)
        made.append(body.write(nodes, given))
        here.nodes.protos += nodes.protos
    return [
        here.op("Where", column(here.nodes, then, dims), *(values[output] for values in made))
        for output, dims in zip(here.params.outputs, here.tops, strict=True)
    ]


def _one_by_one(here: Here, then: Value, given: Mapping[str, int], bottoms: Sequence[Value]) -> list[Value]:
    """What the bodies make of one sample after the other."""
    inside = Subgraph(here.nodes, "sample")
    chosen = inside.input("then", (), BOOL)
    rows = {name: inside.input(name, here.bottoms[i][1:]) for name, i in given.items()}
    values = {name: inside.op("Unsqueeze", row, [0]) for name, row in rows.items()}
    made = [inside.op("Squeeze", each, [0]) for each in _branches(here, inside.nodes, chosen, values)]
    graph = inside.finish([(each, dims[1:]) for each, dims in zip(made, here.tops, strict=True)])
    fed = [then, *(bottoms[i] for i in given.values())]
    return here.ops(len(made), "Scan", *fed, num_scan_inputs=len(fed), body=graph)
