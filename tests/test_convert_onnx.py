"""`layerkit convert` with ONNX models: there, and back."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import layerkit as lk

X = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)


def trained(command):
    """The snapshot of a short run."""
    assert command("train", "configs/mlp.yaml", "--set", "solver.max_iter=3", "--quiet").status == 0
    return "runs/mlp/iter_3.safetensors"


def answers(net):
    return next(iter(net.forward(data=X).values()))


def test_a_snapshot_becomes_a_model_and_the_model_a_snapshot(command):
    snapshot = trained(command)
    there = command("convert", snapshot, "-o", "mlp.onnx")
    assert (there.status, there.out, there.err) == (0, "", "wrote mlp.onnx\n")
    wanted = answers(lk.load(snapshot))
    session = onnxruntime.InferenceSession("mlp.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"data": X})[0], wanted, rtol=1e-4, atol=1e-6)
    back = command("convert", "mlp.onnx", "-o", "back.yaml")
    assert (back.status, back.err) == (0, "wrote back.yaml\nwrote back.safetensors (4 of 4 weights)\n")
    np.testing.assert_allclose(answers(lk.load("back.safetensors")), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(
        answers(lk.Net("back.yaml", "predict", weights="back.safetensors")), answers(lk.load("back.safetensors"))
    )
    alone = command("convert", "mlp.onnx", "-o", "alone.safetensors")
    assert (alone.status, alone.err) == (0, "wrote alone.safetensors (4 of 4 weights)\n")


def test_a_config_and_its_weights_become_a_model_that_takes_raw_samples(command):
    snapshot = trained(command)
    assert command("convert", "configs/mlp.yaml", snapshot, "-o", "raw.onnx", "--preprocess").status == 0
    session = onnxruntime.InferenceSession("raw.onnx", providers=["CPUExecutionProvider"])
    wanted = answers(lk.Net("configs/mlp.yaml", "predict", weights=snapshot))
    np.testing.assert_allclose(session.run(None, {"data.raw": X * 16})[0], wanted, rtol=1e-4, atol=1e-6)


def test_what_onnx_cannot_express_is_named(command):
    with open("loss.yaml", "w", encoding="utf-8") as file:
        file.write("layers:\n  - {name: x, type: Input, shape: [2, 3]}\n  - {type: DummyData, top: y, shape: [2],\n")
        file.write("     data_filler: {type: gaussian}}\n")
    answer = command("convert", "loss.yaml", "-o", "loss.onnx")
    assert answer.status == 2
    assert answer.err.startswith("loss.yaml:3:5: layer 'dummydata' (DummyData): ONNX cannot express it: ")
    assert not Path("loss.onnx").exists()


def test_an_operator_that_no_layer_stands_for_is_named(command):
    nodes = [onnx.helper.make_node("Det", ["x"], ["y"], name="det")]
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3, 3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])],
    )
    onnx.save(onnx.helper.make_model(graph), "det.onnx")
    answer = command("convert", "det.onnx", "-o", "det.yaml")
    assert answer.status == 2
    assert "Det" in answer.err
    assert "Traceback" not in answer.err


def test_what_is_to_be_written_must_be_said(command):
    assert command("convert", "mlp.onnx").err == "say what to write, such as -o mlp.yaml\n"
    answer = command("convert", "mlp.onnx", "-o", "mlp.prototxt")
    assert answer.err == "cannot convert 'mlp.onnx' to 'mlp.prototxt': its name must end in .yaml or .safetensors\n"
    assert "a .prototxt or .onnx becomes a .yaml" in command("convert", "a.yaml", "-o", "b.pdf").err
    assert command("convert", "none.onnx", "-o", "mlp.yaml").status == 2
