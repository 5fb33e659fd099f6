"""Whether the gradients of a net's layers are right, as they stand in it; `layerkit check --gradients` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from layerkit.blob import Weights
from layerkit.checks.case import CheckFailed
from layerkit.checks.placed import probes, smaller, unchecked
from layerkit.checks.probing import CLOSE, LIMIT, Probe
from layerkit.errors import LayerkitError
from layerkit.graph import Graph, Node
from layerkit.graph.effort import LITTLE, of_node

READING = """\
Each value is moved by 0.00001 to both sides in float64, and what the tops
change by is compared with what backward says. The error is relative to the
largest derivative of the array; rounding leaves less than 1e-6. Up to 1e-3 it
is called close: a small constant that guards a division does this, as in
ContrastiveLoss.
- The same factor in every element (2, 0.5, -1) is a factor or a sign that was
  forgotten; "not a number" is an element that backward did not write.
- A few elements at borders are wrong: an index or a padding.
- Kinks, such as ReLU's at 0 or ties in a maximum, are kept away from, and
  passed over where a point meets one; what jumps has no gradient to check.
- A bottom that can have no gradient, as labels: say so in Plan.gradients."""
"""How to read a gradient that is wrong."""


Verdict = Literal["ok", "close", "wrong", "not checked"]


@dataclass(frozen=True)
class Row:
    """One layer."""

    layer: str
    type: str
    verdict: Verdict
    error: float | None
    """The worst relative error; None where none was found out."""
    why: str | None
    """Why it was not checked, or what it raised."""
    worst: Probe | None
    """Where the error is."""


def examine(graph: Graph, layer: str | None = None) -> Iterator[Row]:
    """Check all layers of a net, or one, as each row is asked for. The graph's layers are of no use afterwards.

    Raises UnknownNameError for a layer that is not there.
    """
    if layer is not None:
        graph.index(layer)
    graph = smaller(graph)
    for node in graph.nodes:
        if layer in (None, node.name):
            yield _examine(graph, node)
            node.layer.weights = Weights()  # may be large


def threads_for(graph: Graph) -> int | None:
    """1 for a net of small layers, for which a second thread does not pay, or None: as many as there are."""
    little = smaller(graph)
    return 1 if max((of_node(node) for node in little.nodes), default=0) < LITTLE else None


def _examine(graph: Graph, node: Node) -> Row:
    name, kind = node.name, node.spec.type
    why = unchecked(node)
    if why is not None:
        return Row(name, kind, "not checked", None, why, None)
    try:
        worst = max(probes(graph, node), key=lambda probe: probe.error)
    except CheckFailed as error:
        refused = error.__cause__ is None or isinstance(error.__cause__, LayerkitError)  # else it is a mistake in code
        return Row(name, kind, "not checked" if refused else "wrong", None, str(error), None)
    verdict: Verdict = "ok" if worst.error <= LIMIT else "close" if worst.error <= CLOSE else "wrong"
    return Row(name, kind, verdict, worst.error, None, worst)


def sentence(row: Row) -> str:
    """Where a wrong gradient is worst, in words."""
    worst = row.worst
    if worst is None:
        return f"{row.layer} ({row.type}): {row.why}"
    where = f"{worst.array} at {list(worst.index)}" if worst.index is not None else worst.array
    if worst.index is not None and worst.analytic != worst.analytic:
        says = "backward left not a number"
    elif worst.index is None:
        says = f"<top diffs, tangents> is {worst.analytic:.9g}"
    else:
        says = f"backward says {worst.analytic:.9g}"
    other = "<diffs, what moves>" if worst.index is None else "differences say"
    ratio = worst.analytic / worst.numeric if worst.numeric else float("nan")
    times = f" ({ratio:.4g} times as much)" if ratio == ratio else ""
    return f"{row.layer} ({row.type}): {where}: {says}, {other} {worst.numeric:.9g}{times}"
