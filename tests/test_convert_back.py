"""layerkit's files as Caffe's, and there and back again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_caffemodel import ARRAYS, LAYERS
from test_caffemodel import NET as SMALL

import layerkit as lk
from layerkit import graph, snapshot, text
from layerkit.convert import caffe_in, caffe_out, caffemodel, proto_text
from layerkit.convert.proto_text import Word

CONFIGS = Path(__file__).parents[1] / "configs"

RUN = """
name: both
net:
  force_backward: true
  layers:
    - {name: data, type: DummyData, top: x, shape: {train: [4, 3], test: [2, 3]}, data_filler: {type: gaussian, std: 2}}
    - {name: loss, type: EuclideanLoss, bottom: [ip, x], loss_weight: 0.5}
    - {name: ip, type: InnerProduct, bottom: x, num_output: 3, weight_filler: xavier, param: [{}, {lr_mult: 2}]}
    - {name: abs, type: AbsVal, bottom: ip, include: {phase: test, stage: a}}
    - {name: mask, type: Threshold, threshold: 0.1, bottom: ip, include: predict}
solver: {base_lr: 0.1, momentum: 0.9, lr_policy: step, gamma: 0.1, stepsize: 5, max_iter: 9, test_interval: 3,
  test_iter: 2, test_state: {stage: a}, warmup_iter: 2, warmup_start: 0.5}
"""

PROTOTXT = """\
name: "both"
force_backward: true
layer {
  name: "data"
  type: "DummyData"
  top: "x"
  include {
    phase: TRAIN
  }
  dummy_data_param {
    data_filler {
      type: "gaussian"
      std: 2
    }
    shape {
      dim: 4
      dim: 3
    }
  }
}
layer {
  name: "data"
  type: "DummyData"
  top: "x"
  include {
    phase: TEST
  }
  dummy_data_param {
    data_filler {
      type: "gaussian"
      std: 2
    }
    shape {
      dim: 2
      dim: 3
    }
  }
}
layer {
  name: "ip"
  type: "InnerProduct"
  bottom: "x"
  top: "ip"
  param { }
  param {
    lr_mult: 2
  }
  inner_product_param {
    num_output: 3
    weight_filler {
      type: "xavier"
    }
  }
}
layer {
  name: "loss"
  type: "EuclideanLoss"
  bottom: "ip"
  bottom: "x"
  top: "loss"
  loss_weight: 0.5
}
layer {
  name: "abs"
  type: "AbsVal"
  bottom: "ip"
  top: "abs"
  include {
    phase: TEST
    stage: "a"
  }
}
"""

SOLVER = """\
net: "both.prototxt"
base_lr: 0.1
momentum: 0.9
gamma: 0.1
stepsize: 5
lr_policy: "step"
rampup_interval: 2
rampup_lr: 0.05
max_iter: 9
display: 100
test_interval: 3
test_state {
  stage: "a"
}
test_iter: 2
snapshot_prefix: "both"
solver_mode: CPU
"""


def layers_of(source: Any) -> dict[str, list[Any]]:
    """What the layers of a file's phases are, but for words that mean the same."""
    return {
        phase: [
            (node.name, node.spec.type, node.spec.bottom, node.spec.top, node.params, node.loss_weights, node.plan.tops,
             {name: value for name, value in node.spec.params if value not in ([], [0], [1])})
            for node in built.nodes
        ]
        for phase, built in graph.load(source).graphs.items() if phase != "predict"
    }  # fmt: skip


def test_a_run_becomes_a_net_and_a_solver(tmp_path: Path) -> None:
    source, target = tmp_path / "both.yaml", tmp_path / "both.prototxt"
    source.write_text(RUN)
    solver = tmp_path / "both_solver.prototxt"
    report = caffe_out.convert(source, target)
    assert (report.lines(), report.wrote) == ([], [f"wrote {target}", f"wrote {solver}"])
    assert target.read_text() == PROTOTXT
    assert solver.read_text() == SOLVER
    back = tmp_path / "back.yaml"
    caffe_in.convert(solver, back)
    assert layers_of(back) == layers_of(source)


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "lecture/branch", "lecture/linear_classifier"])
def test_there_and_back(tmp_path: Path, name: str) -> None:
    source = CONFIGS / f"{name}.yaml"
    name = source.stem
    target, back = tmp_path / f"{name}.prototxt", tmp_path / f"{name}.yaml"
    caffe_out.convert(source, target)
    solver = tmp_path / f"{name}_solver.prototxt"
    caffe_in.convert(solver if solver.is_file() else target, back)
    assert layers_of(back) == layers_of(source)


def test_layers_in_the_words_of_every_caffe(tmp_path: Path) -> None:
    source, target, back = (tmp_path / name for name in ("a.yaml", "a.prototxt", "b.yaml"))
    source.write_text("""layers:
    - {name: x, type: Input, shape: [2, 3, 6, 5]}
    - {name: dw, type: DepthwiseConvolution, num_output: 3, kernel_size: 3}
    - {name: bn, type: BatchNorm, scale_bias: true, scale_filler: {type: constant, value: 2}, eps: 0.001,
       param: [{}, {}, {}, {lr_mult: 3}]}
    - {name: relu, type: ReLU6, top: bn}
    - {name: pool, type: Pooling, kernel_size: 2, round_mode: floor}
    """)
    assert caffe_out.convert(source, target).lines() == []
    assert caffe_in.convert(target, back).lines() == []
    assert back.read_text().splitlines()[2:] == [
        "layers:",
        "  - {name: x, type: Input, shape: [2, 3, 6, 5]}",
        "  - {name: dw, type: Convolution, kernel_size: 3, num_output: 3, group: 3}",
        "  - {name: bn, type: BatchNorm, eps: 0.001}",
        "  - {name: bn_scale, type: Scale, top: bn, bias_term: true, filler: {type: constant, value: 2}, "
        "param: [{lr_mult: 3}]}",
        "  - {name: relu, type: Clip, top: bn, min: 0, max: 6}",
        "  - {name: pool, type: Pooling, kernel_size: 2, round_mode: FLOOR}",
    ]
    net, again = lk.Net(source, phase="test"), lk.Net(back, phase="test")
    rng = np.random.default_rng(0)
    for name in ("dw", "bn"):
        for blob in net.params[name]:
            blob.data[...] = rng.uniform(0.5, 1.5, blob.shape)
    model, weights = tmp_path / "a.caffemodel", tmp_path / "a.safetensors"
    snapshot.save_weights(weights, net)
    caffe_out.convert(source, None, weights, model)
    arrays = {f"{layer.name}.{i}": array for layer in caffemodel.read(model) for i, array in enumerate(layer.blobs)}
    for i, blob in enumerate(again.params["dw"]):
        blob.data[...] = arrays[f"dw.{i}"]
    for i, blob in enumerate([*again.params["bn"], *again.params["bn_scale"]]):
        blob.data[...] = arrays[f"bn.{i}" if i < 3 else f"bn_scale.{i - 3}"]
    x = rng.normal(size=(2, 3, 6, 5))
    np.testing.assert_allclose(again.forward(x=x)["pool"], net.forward(x=x)["pool"], rtol=1e-5)


def test_what_caffe_does_not_have_is_said(tmp_path: Path) -> None:
    source, target = tmp_path / "a.yaml", tmp_path / "a.prototxt"
    source.write_text("""
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 5}
    - {name: act, type: GELU}
    - {name: permuted, type: Permute, order: [0, 2, 3, 1]}
    - {name: fc, type: InnerProduct, num_output: 10}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label], label_smoothing: 0.1}
solver: {type: AdamW, base_lr: 0.1, momentum: 0.9, max_epochs: 2, test_interval: 1 epoch}
""")
    lines = caffe_out.convert(source, target).lines()
    assert [line.replace(str(source), "a") for line in lines] == [
        "solver: Caffe's solver has no 'max_epochs' such as this; it is left out",
        "solver: Caffe's solver has no 'test_interval' such as this; it is left out",
        "solver: Caffe needs test_iter, the number of batches of a test; here a test is all samples",
        "note: only the Caffe of SSD has the type Permute",
        "a:4:63: layer 'digits' (Data): Caffe's Data has no dataset; it is left out",
        "a:5:25: layer 'act' (GELU): no Caffe has a layer of this type",
        "a:8:81: layer 'loss' (SoftmaxWithLoss): Caffe's SoftmaxWithLoss has no label_smoothing; it is left out",
    ]
    assert 'type: "GELU"' in target.read_text()


def test_a_snapshot_becomes_a_net_and_a_model(tmp_path: Path, command: Callable[..., Any]) -> None:
    prototxt, model, trained = (tmp_path / f"net.{suffix}" for suffix in ("prototxt", "caffemodel", "safetensors"))
    prototxt.write_text(SMALL)
    caffemodel.write(model, "small", LAYERS)
    assert command("convert", str(prototxt), str(model), "-o", str(trained)).status == 0
    back, other = tmp_path / "back.prototxt", tmp_path / "back.caffemodel"
    answer = command("convert", str(trained), "-o", str(back), "-w", str(other))
    assert answer.status == 0, answer.err
    assert answer.err.splitlines() == [f"wrote {back}", f"wrote {other} (7 of 7 weights from {trained})"]
    found = [array for layer in caffemodel.read(other) for array in layer.blobs]
    for one, wanted in zip(found, ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(one, wanted)
    assert command("convert", str(back), str(other), "-o", str(tmp_path / "again.safetensors")).status == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.prototxt",), "say what to write, such as -o a.yaml"),
        (("a.yaml", "-o", "b.yaml"), "cannot convert 'a.yaml' to 'b.yaml': a .prototxt or .onnx becomes a .yaml"),
        (("a.png", "-o", "b.yaml"), "cannot convert 'a.png' to 'b.yaml'"),
        (("a.yaml", "-w", "b.caffemodel"), "'b.caffemodel' is to hold weights; name a snapshot (.safetensors) behind"),
        (("a.prototxt", "-o", "b.yaml"), "there is no file 'a.prototxt'"),
    ],
)
def test_what_cannot_be_is_said(command: Callable[..., Any], arguments: tuple[str, ...], sentence: str) -> None:
    answer = command("convert", *arguments)
    assert answer.status == 2
    assert answer.err.startswith(sentence)
    assert answer.err.count("\n") == 1


def test_prototxt_is_written_with_escapes() -> None:
    message = [("name", 'a "b"\\\n\tü\x00'), ("n", -3), ("x", 0.1), ("y", 1e-9), ("z", 2.0), ("w", Word("MAX")),
               ("b", False), ("m", [("i", []), ("f", 0.05000000074505806)])]  # fmt: skip
    numbers = "n: -3\nx: 0.1\ny: 1e-09\nz: 2\nw: MAX\nb: false\nm {\n  i { }\n  f: 0.05\n}\n"
    assert proto_text.dump(message) == f'name: "a \\"b\\"\\\\\\n\\tü\\000"\n{numbers}'


COMMENTED = """\
# A net of two layers,
# to be read by Caffe

name: two

# the run's net
net:
  layers:
    # where samples come from
    - {name: data, type: DummyData, top: [data, label], shape: [[4, 3], [4]]}
    - name: loss
      # in here
      type: SoftmaxWithLoss
      bottom: [fc, label]
    - {name: fc, type: InnerProduct, bottom: data, num_output: 3}  # beside it
    # the end
# how it learns
solver:
  base_lr: 0.1
  # not for long
  max_iter: 9
  # done
"""


def test_comments_stay_with_what_they_stand_before(tmp_path: Path) -> None:
    source, target, again = tmp_path / "a.yaml", tmp_path / "a.prototxt", tmp_path / "again.yaml"
    source.write_text(COMMENTED)
    assert caffe_out.convert(source, target).lines() == []
    net, solver = target.read_text(), (tmp_path / "a_solver.prototxt").read_text()
    near = [line.strip() for line in net.splitlines() if line.startswith("#") or "name:" in line]
    assert near == [
        "# A net of two layers,",
        "# to be read by Caffe",
        "# the run's net",
        'name: "two"',
        "# where samples come from",
        'name: "data"',
        'name: "fc"',
        "# in here",
        'name: "loss"',
        "# the end",
    ]
    assert "# how it learns\nbase_lr: 0.1\n" in solver
    assert "# not for long\nmax_iter: 9\n" in solver
    assert solver.endswith("# done\n")
    assert caffe_in.convert(tmp_path / "a_solver.prototxt", again).lines()[1:] == []
    for comment in ("# to be read by Caffe", "# in here", "# not for long", "# done"):
        assert comment in again.read_text()


def test_what_looks_like_a_comment_in_a_text_is_none() -> None:
    found = text.comments('a: |\n  # one\n  b\n# two\nc: "d\n  # three\n  e"\nf: 1 # four\n  # five\n')
    assert found == {4: "# two", 9: "  # five"}
