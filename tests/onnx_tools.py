"""What the tests of ONNX share: models run by onnxruntime, the outside judge of what they mean."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from layerkit.checks.case import prepare
from layerkit.convert.onnx.package import OPSET

TOLERANCE = 1e-4


class Session:
    """A model in onnxruntime, on one thread."""

    def __init__(self, model: bytes):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        fed = [*self._session.get_inputs(), *self._session.get_overridable_initializers()]
        self.inputs = {each.name: each.shape for each in fed}
        self.outputs = [each.name for each in self._session.get_outputs()]

    def run(self, inputs):
        """The outputs by name; inputs that the model does not have are left out."""
        fed = {name: np.asarray(values, np.float32) for name, values in inputs.items() if name in self.inputs}
        return dict(zip(self.outputs, self._session.run(self.outputs, fed), strict=True))


def compare(got, wanted):
    """All outputs have the same shapes, and values that agree relative to the largest."""
    assert set(got) == set(wanted)
    for name, values in wanted.items():
        assert got[name].shape == values.shape, f"{name}: {got[name].shape}, not {values.shape}"
        assert got[name].dtype == np.float32
        scale = max(1.0, float(np.abs(values[np.isfinite(values)]).max(initial=0)))
        np.testing.assert_allclose(got[name], values, rtol=0, atol=TOLERANCE * scale, err_msg=name)


def compare_answers(net, session, inputs):
    """The model and a net that has not run yet answer alike."""
    for layer in net.layers.values():
        for state in vars(layer.state).values():
            state[...] = 0
    wanted = {name: array.copy() for name, array in net.forward(**inputs).items()}
    compare(session.run(inputs or {name: net.blobs[name].data for name in net.inputs}), wanted)


def net_of(case):
    """What a net needs that holds a case's layer alone, fed by Inputs: its tree, its weights, and its inputs."""
    with prepare(case, np.float32) as lone:
        bottoms = {f"in{i}": blob.data.copy() for i, blob in enumerate(lone.bottom)}
        weights = {f"layer.{name}": blob.data.copy() for name, blob in lone.layer.weights.items()}
    layers = [{"name": name, "type": "Input", "shape": [list(array.shape)]} for name, array in bottoms.items()]
    layer = {"name": "layer", "type": case.layer_type.__name__, **case.params}
    layers.append(
        {**layer, "top": [f"out{i}" for i in range(case.num_tops)]} | ({"bottom": [*bottoms]} if bottoms else {})
    )
    if not case.num_tops:  # a model has outputs
        layers.append({"name": "out", "type": "TanH", "bottom": "in0"})
    return {"layers": [{**each, "include": "predict"} for each in layers]}, weights, bottoms


def model_of(nodes, shapes, constants=None, *, opset=OPSET, outputs=("y",), ir_version=10):
    """A model of these nodes, `("Relu", "x", "y", {attributes})` each, with inputs of these shapes."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    made = [
        helper.make_node(kind, read.split(","), written.split(","), name=f"n{i}", **(more[0] if more else {}))
        for i, (kind, read, written, *more) in enumerate(nodes)
    ]
    inputs = [helper.make_tensor_value_info(name, float32, list(shape)) for name, shape in shapes.items()]
    wanted = [helper.make_tensor_value_info(name, float32, None) for name in outputs]
    arrays = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(made, "made", inputs, wanted, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
