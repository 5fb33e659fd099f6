"""From an ONNX model to a net: one node after the other becomes layers, which are planned on the way.

Planning gives every blob's shape, so that what a model computes from shapes is known and needs no layers.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx import files, operators
from layerkit.convert.onnx.building import BATCH, Builder, Known, plain_name
from layerkit.convert.onnx.folding import MOST_IN_ALL, fold
from layerkit.convert.onnx.inside import read_if, read_loop, read_scan
from layerkit.convert.onnx.node import NotReadableError, OnnxNode
from layerkit.convert.onnx.package import onnx
from layerkit.convert.onnx.patterns import with_gelus
from layerkit.errors import ConfigError, DataError, LayerkitError, Mark, Problem


def read(
    path: str | os.PathLike[str], shapes: Mapping[str, Sequence[int]] | None = None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """A model as a net: the tree of its YAML file, and its weights by `layer.weight`.

    `shapes` gives shapes of inputs, by name, where the model leaves lengths besides the batch open. Raises ConfigError
    that names every operator which no layer can stand for; DataError without the package onnx, and in one sentence for
    a file that is damaged, refers to others than files beside it, or has an input whose shape is not known.
    """
    with np.errstate(all="ignore"):  # a model's constants may be anything
        return _Reader(files.load(path), path, shapes or {}).read()


INSIDE = {"If": read_if, "Loop": read_loop, "Scan": read_scan}
"""What becomes a layer with a body."""


class _Reader:
    """A model on its way into a net."""

    def __init__(self, model: Any, path: str | os.PathLike[str], shapes: Mapping[str, Sequence[int]]):
        self._model, self._path, self._shapes = model, path, shapes
        self._version = files.version(model)
        self._values: dict[str, Array | Known | None] = {"": None}
        """What is known of each value: a constant's array, a blob, or None where what made it could not be read."""
        for tensor in model.graph.initializer:
            self._values[tensor.name] = files.constant(tensor, path)
        self._nodes = with_gelus(model.graph.node, self._numbers(), [each.name for each in model.graph.output])
        self._builder = Builder(Counter(_reads(self._nodes, model.graph.output)))
        self._folded = self._depth = 0
        self._faults: dict[str, list[str]] = {}
        """The names of nodes that could not be read, by what is said of them."""

    def read(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The tree and the weights."""
        graph = self._model.graph
        if graph.sparse_initializer:
            raise DataError(f"{os.fspath(self._path)!r} has sparse constants, which are not read")
        for info in graph.input:
            if info.name not in self._values:
                self._values[info.name] = self._builder.input(info.name, self._shape(info))
        self._read_nodes(self._nodes)
        if self._faults:
            raise ConfigError([self._problem(what, names) for what, names in self._faults.items()])
        outputs: dict[str, Known] = {}
        for info in graph.output:
            value = self._values.get(info.name)
            if not isinstance(value, Known):
                raise DataError(f"{os.fspath(self._path)!r}: the output {info.name!r} depends on no input")
            outputs[info.name] = value
        for name in sorted(outputs, key=lambda name: plain_name(name) == outputs[name].name):  # others may read it
            self._builder.output(name, outputs[name])
        self._builder.silence([info.name for info in graph.output])
        return self._builder.tree(graph.name), self._builder.weights

    def _numbers(self) -> dict[str, float]:
        """The constants of one number that are among the initializers or are nodes of their own, by name."""
        known = dict(self._values)
        for proto in self._model.graph.node:
            if proto.op_type == "Constant" and len(proto.output) == 1:
                with contextlib.suppress(LayerkitError):  # whoever reads it will be told
                    known[proto.output[0]] = OnnxNode(proto, {}, self._path, self._version).constant_value()
        arrays = {name: array for name, array in known.items() if isinstance(array, np.ndarray)}
        return {
            name: float(array.item()) for name, array in arrays.items() if array.size == 1 and array.dtype.kind in "fiu"
        }

    def _problem(self, what: str, names: Sequence[str]) -> Problem:
        others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        return Problem(what, f"node {names[0]!r}{others}", Mark(os.fspath(self._path), 0, 0))

    def _shape(self, info: Any) -> tuple[int, ...]:
        """The shape of an input, with BATCH where the model leaves axis 0 open."""
        given = self._shapes.get(info.name)
        if given is not None:
            return tuple(given)
        kind = info.type.tensor_type
        if kind.elem_type not in (1, 6, 7, 10, 11) or not kind.HasField("shape"):
            raise DataError(f"{os.fspath(self._path)!r}: the input {info.name!r} is no array of numbers of known shape")
        lengths = [each.dim_value if each.HasField("dim_value") else None for each in kind.shape.dim]
        if lengths and lengths[0] is None:
            lengths[0] = BATCH
        open_axes = [str(i) for i, length in enumerate(lengths) if length is None or length < 0]
        if open_axes:
            raise DataError(
                f"{os.fspath(self._path)!r} leaves the length of axis {', '.join(open_axes)} of its input "
                f"{info.name!r} open: give its shape"
            )
        return tuple(int(length or 0) for length in lengths)

    def _read_nodes(self, nodes: Sequence[Any]) -> None:
        for proto in nodes:
            node = OnnxNode(proto, self._values, self._path, self._version)
            try:
                outputs = self._outputs(node)
            except NotReadableError as error:
                self._faults.setdefault(f"{node.kind}: {error}", []).append(node.label)
                outputs = []
            except DataError:
                raise
            except (LayerkitError, ValueError, IndexError, TypeError, KeyError, OverflowError, AttributeError) as error:
                # a model whose numbers do not fit each other, in one of the many ways there are
                said = " ".join(str(error).split())[:200]
                self._faults.setdefault(f"{node.kind}: its numbers do not fit: {said}", []).append(node.label)
                outputs = []
            for i, name in enumerate(proto.output):
                self._values[name] = outputs[i] if i < len(outputs) else None

    def _outputs(self, node: OnnxNode) -> Sequence[Array | Known | None]:
        """What a node writes; nothing where what it reads could not be read."""
        if node.lost:
            return []
        if node.kind == "Constant":
            return [node.constant_value()]
        if node.kind == "Shape":
            return [node.shape_value()]
        if node.kind == "If" and not isinstance(node.inputs[0], Known):
            return self._branch(node)
        if node.kind in INSIDE and node.domain in ("", "ai.onnx"):
            return INSIDE[node.kind](node, self._builder, self)
        arrays = [each for each in node.inputs if not isinstance(each, Known)]
        if len(arrays) == len(node.inputs):
            folded = fold(node.kind, arrays, node.attribute)
            if folded is not None:
                if node.kind == "Range" and folded[0].size % BATCH == 0:
                    raise NotReadableError("it counts the samples of a batch")
                self._folded += sum(each.size for each in folded)
                if self._folded > MOST_IN_ALL:
                    raise DataError(f"{os.fspath(self._path)!r} is refused: it computes constants of absurd sizes")
                return folded
        return operators.read(node, self._builder)

    def _branch(self, node: OnnxNode) -> list[Array | Known | None]:
        """The branch of an If that will always be taken."""
        return self._read_graph(node.attribute("then_branch" if node.needed(0).item() else "else_branch", None))

    def _read_graph(self, graph: Any) -> list[Array | Known | None]:
        """Read a graph inside a node; returns its outputs. Raises NotReadableError where it stands too deep."""
        if self._depth == files.MOST_DEPTH:
            raise NotReadableError(f"it stands in {files.MOST_DEPTH} others")
        self._depth += 1
        try:
            for tensor in graph.initializer:
                self._values[tensor.name] = files.constant(tensor, self._path)
            self._read_nodes(graph.node)
            return [self._values.get(each.name) for each in graph.output]
        finally:
            self._depth -= 1

    # -- graphs inside nodes, as the Reader of inside.py -------------------------------------------------------------

    def outside(self, *graphs: Any) -> dict[str, Known]:
        """The blobs that graphs read and that stand outside of them, by the model's names."""
        read = dict.fromkeys(name for graph in graphs for name in _reads(graph.node, graph.output))
        own = {each.name for graph in graphs for each in graph.input}
        found = {name: self._values.get(name) for name in read if name not in own}
        return {name: value for name, value in found.items() if isinstance(value, Known)}

    def reads(self, graph: Any, name: str) -> bool:
        """Whether a node of the graph reads the value, or it is an output."""
        return name in _reads(graph.node, graph.output)

    def constant(self, name: str) -> Array | None:
        """The value of that name, if it is a constant."""
        value = self._values.get(name)
        return None if isinstance(value, Known) else value

    def inside(self, graph: Any, given: Mapping[str, Known | Array]) -> tuple[Builder, list[Known | Array | None]]:
        """Read a graph with a builder of its own, from what its values are inside; returns that and the outputs."""
        around = self._values, self._builder
        self._builder = Builder(Counter(_reads(graph.node, graph.output)))
        constants = {name: value for name, value in self._values.items() if not isinstance(value, Known)}
        self._values = {**constants, **given}
        for value in given.values():
            if isinstance(value, Known):
                self._builder.given(value)
        try:
            outputs = self._read_graph(graph)
            return self._builder, outputs
        finally:
            self._values, self._builder = around


def _reads(nodes: Iterable[Any], outputs: Iterable[Any], depth: int = 0) -> list[str]:
    """The name of every value that a node reads or that is an output, as often as that happens."""
    found = [each.name for each in outputs]
    for node in nodes:
        found += node.input
        for attribute in node.attribute if depth < files.MOST_DEPTH else ():
            if attribute.type == onnx().AttributeProto.GRAPH:
                found += _reads(attribute.g.node, attribute.g.output, depth + 1)
    return found
