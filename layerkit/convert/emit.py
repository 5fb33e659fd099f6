"""YAML as people write it: a layer a line where it is short, and comments in their places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from layerkit import text
from layerkit.convert.net import Net
from layerkit.text import Map

_FOLDER = re.compile(r"[^\w .+-]")


def net_file(net: Net) -> str:
    """A file that holds a net alone."""
    return "\n".join([*_top(net), *_net_lines(net, "")]) + "\n"


def run_file(net: Net, solver: Map, comments: Mapping[int, str]) -> str:
    """A file that holds a net and how to train it; `comments` are those of the solver, by line."""
    lines = [*_top(net), "net:", *_net_lines(net, "  "), "", "solver:", *_solver_lines(solver, comments)]
    return "\n".join(lines) + "\n"


def name_of(net: Net) -> str:
    """The net's name as far as it can name a run's folder."""
    return _FOLDER.sub("-", net.name).strip(". ")[:100]


def _top(net: Net) -> Iterator[str]:
    yield from net.heading
    if net.heading:
        yield ""
    if name_of(net):
        yield f"name: {text.one_line(name_of(net))}"
        yield ""


def _solver_lines(solver: Map, comments: Mapping[int, str]) -> Iterator[str]:
    """The settings in the order in which they were written, each comment in front of what followed it."""
    waiting = dict(sorted(comments.items()))
    for key, value in solver.items():
        mark = solver.key_marks.get(key)
        for line in [line for line in waiting if mark is not None and line < mark.line]:
            yield f"  {waiting.pop(line)}"
        yield f"  {key}: {text.one_line(value)}"
    for comment in waiting.values():
        yield f"  {comment}"


def _net_lines(net: Net, indent: str) -> Iterator[str]:
    if net.force_backward:
        yield f"{indent}force_backward: true"
    yield f"{indent}layers:"
    for i, layer in enumerate(net.layers):
        for comment in net.before.get(i, ()):
            yield f"{indent}  {comment}"
        yield from text.item(layer, f"{indent}  ")
    for comment in net.before.get(len(net.layers), ()):
        yield f"{indent}  {comment}"
