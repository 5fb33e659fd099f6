"""From a net to an ONNX model: one layer after the other by its rule, checked before the file is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from layerkit import arrayfile, snapshot
from layerkit.convert.onnx import rules
from layerkit.convert.onnx.batches import find_batches
from layerkit.convert.onnx.here import BatchMattersError, Dims, NotExpressibleError
from layerkit.convert.onnx.layering import name_weights, place
from layerkit.convert.onnx.package import IR_VERSION, OPSET, onnx
from layerkit.convert.onnx.samples import describe, prepare, raw_dims
from layerkit.convert.onnx.values import Constants, Nodes, Value
from layerkit.errors import ConfigError, DataError, Problem
from layerkit.graph import Graph, Node, Ref
from layerkit.net import Net
from layerkit.spec import Origin

MOST_BYTES = 2**31 - 1
"""A protobuf file, which a model in one file is, holds no more."""


def export(
    source: Net | Origin,
    path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    overrides: Iterable[str] = (),
    preprocess: bool = False,
    allow_python: bool = False,
) -> list[str]:
    """Write the predict phase of a net, with its weights, as an ONNX model.

    `source` is a Net, a snapshot's path, or as in Net a run's path, text or dict, whose weights are those of `weights`
    or else what its fillers draw. The model's inputs and outputs are the net's, in float32, each with axis 0 of any
    length where the net allows it. What was done to samples stands in its metadata; with `preprocess` the model does
    it, and takes raw samples as `net.predict` does.

    Returns what a user of the model should know, in sentences. Raises ConfigError that names every layer which ONNX
    cannot express, with the reason; DataError without the package onnx or for more than 2 GiB; SnapshotError where
    the file cannot be written.
    """
    net = _net(source, weights, overrides, allow_python)
    model, notes = build(net, preprocess=preprocess)
    size = model.ByteSize()
    if size > MOST_BYTES:
        raise DataError(f"the model would have {size / 2**30:.1f} GiB, and one ONNX file holds 2 GiB at the most")
    written = model.SerializeToString()
    check(written)
    arrayfile.write_bytes(path, written)
    return notes


def build(net: Net, *, preprocess: bool = False) -> tuple[Any, list[str]]:
    """The ONNX model of a net of any phase, and notes on it. Raises as `export` does."""
    helper = onnx("writing ONNX").helper
    try:
        writer = _Writer(net, preprocess)
    except BatchMattersError as error:
        writer = _Writer(net, preprocess, str(error))
    graph = writer.graph_proto()
    opsets = [helper.make_opsetid("", writer.opset)]
    model = helper.make_model(graph, producer_name="layerkit", opset_imports=opsets, ir_version=IR_VERSION)
    helper.set_model_props(model, describe(net.graph.samples, writer.notes, prepared=preprocess))
    return model, writer.notes


def _net(
    source: Net | Origin,
    weights: str | os.PathLike[str] | None,
    overrides: Iterable[str],
    allow_python: bool,
) -> Net:
    if isinstance(source, Net):
        return source
    if isinstance(source, str | os.PathLike) and Path(source).suffix == ".safetensors":
        return snapshot.load(source, engine="numpy", allow_python=allow_python)
    return Net(source, "predict", weights=weights, overrides=overrides, engine="numpy", allow_python=allow_python)


def check(model: bytes) -> None:
    """Hold a model against ONNX's own rules, all shapes included; a failure is a fault of a rule in here."""
    onnx().checker.check_model(model, full_check=True)


class _Writer:
    """A net on its way into a model."""

    def __init__(self, net: Net, preprocess: bool, fixed: str = ""):
        self._net, self._graph, self._preprocess = net, net.graph, preprocess
        self._constants = Constants()
        self._batches = find_batches(net.graph, fixed)
        self.notes: list[str] = []
        self.opset = OPSET
        if self._batches.fixed:
            self.notes.append(
                f"the batch has the size that the net has, since another does not fit: {self._batches.fixed}"
            )
        self._names = _names(net.graph)
        self._weights = name_weights(net.flat, self._constants)
        self._protos: list[Any] = []
        self._inputs: list[Any] = []
        problems: list[Problem] = []
        for node in net.graph.nodes:
            try:
                self._write(node)
            except NotExpressibleError as error:
                problems.append(node.spec.problem(f"ONNX cannot express it: {error}"))
        if not net.graph.outputs and not problems:
            problems.append(Problem("nothing comes out of the net, so there is no model of it"))
        if problems:
            raise ConfigError(problems)

    def graph_proto(self) -> Any:
        """The whole graph."""
        helper, numpy_helper = onnx().helper, onnx().numpy_helper
        outputs = [self._info(self._graph.last[name]) for name in self._graph.outputs]
        read = {name for proto in self._protos for name in _read_by(proto)} | {each.name for each in outputs}
        read |= {each.name for each in self._inputs}
        constants = [
            numpy_helper.from_array(array, name) for name, array in self._constants.arrays.items() if name in read
        ]
        return helper.make_graph(self._protos, self._graph.name or "net", self._inputs, outputs, constants)

    def _write(self, node: Node) -> None:
        nodes = Nodes(self._constants, f"{node.name}.")
        here = place(node, self._batches, self._weights, nodes)
        if not node.bottoms and not node.plan.weights:
            defaults = rules.write(node.spec.type, here, [])
            self._add_inputs(node, nodes, defaults)
            return
        values = rules.write(node.spec.type, here, [nodes.value(self._names[ref]) for ref in node.bottoms])
        self._finish(node, nodes, values)
        self.opset = min(self.opset, here.opset)
        self.notes += [f"layer {node.name!r}: {note}" for note in here.notes]

    def _add_inputs(self, node: Node, nodes: Nodes, defaults: Sequence[Value]) -> None:
        """Make the tops of a source inputs of the model; where it gave values, these serve if none are fed."""
        for i, ref in enumerate(node.tops):
            info = self._graph.samples.get(ref.name)
            name = self._names[ref]
            if defaults:
                self._constants.add(self._constants.arrays[defaults[i].name], name)
                self._inputs.append(self._info(ref, dims=self._graph.shapes[ref]))
            elif info is not None and self._preprocess:
                raw = f"{name}.raw"
                nodes.rename({prepare(nodes, nodes.value(raw), info).name: name})
                self._inputs.append(self._info(ref, raw, raw_dims(info, self._batches.dims(ref))))
            else:
                self._inputs.append(self._info(ref))
        self._protos += nodes.protos

    def _finish(self, node: Node, nodes: Nodes, values: Sequence[Value]) -> None:
        """Call what a layer computed by the names of its tops."""
        written = {name for proto in nodes.protos for name in proto.output}
        renamed: dict[str, str] = {}
        for ref, value in zip(node.tops, values, strict=True):
            if value.name in written and value.name not in renamed:
                renamed[value.name] = self._names[ref]
            else:
                nodes.protos.append(onnx().helper.make_node("Identity", [value.name], [self._names[ref]]))
        nodes.rename(renamed)
        self._protos += nodes.protos

    def _info(self, ref: Ref, name: str = "", dims: Dims | None = None) -> Any:
        """What an input or output says of itself: its name and dimensions, by default those of the blob."""
        dims = self._batches.dims(ref) if dims is None else dims
        return onnx().helper.make_tensor_value_info(name or self._names[ref], onnx().TensorProto.FLOAT, dims)


def _names(graph: Graph) -> dict[Ref, str]:
    """What each version of a blob is called: the input and else the last version has the plain name."""
    inputs, last = {Ref(name) for name in graph.inputs}, graph.last
    taken = {ref.name for ref in inputs}
    return {
        ref: ref.name
        if ref in inputs or (ref == last[ref.name] and ref.name not in taken)
        else f"{ref.name}.{ref.version}"
        for ref in graph.shapes
    }


def _read_by(proto: Any) -> Iterable[str]:
    """What a node reads, in a body of its own too."""
    yield from proto.input
    for attribute in proto.attribute:
        for inner in attribute.g.node:
            yield from _read_by(inner)
        yield from (each.name for each in attribute.g.output)
