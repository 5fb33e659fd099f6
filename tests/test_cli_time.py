"""`layerkit time` and `layerkit check --memory`: what they print, and that the bytes are those of the arrays."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import layerkit as lk
from layerkit import engines
from layerkit.errors import UsageError
from layerkit.report.timing import Compared, Row, Timing, compare, measure

needs_onednn = pytest.mark.skipif(
    engines.missing("onednn") is not None, reason=f"oneDNN cannot run: {engines.missing('onednn')}"
)

LENET = """
name: small
net:
  layers:
    - {name: data, type: Input, top: [data, label], shape: [[4, 1, 12, 12], [4]]}
    - {name: conv, type: Convolution, bottom: data, num_output: 3, kernel_size: 3, weight_filler: xavier}
    - {name: relu, type: ReLU, top: conv, bottom: conv}
    - {name: fc, type: InnerProduct, num_output: 5, weight_filler: xavier}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
    - {name: accuracy, type: Accuracy, bottom: [fc, label], include: test}
solver: {base_lr: 0.1, max_iter: 10}
"""


@pytest.fixture
def small(folder):
    (folder / "small.yaml").write_text(LENET)
    return "small.yaml"


def test_the_table_names_every_layer_and_what_runs_it(command, small):
    answer = command("time", small, "--iterations", "3", "--engine", "numpy")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["layer", "type", "forward", "ms", "backward", "ms", "share", "GFLOP/s", "runs", "on"]
    assert [line.split()[0] for line in lines[1:6]] == ["data", "conv", "relu", "fc", "loss"]
    assert all(line.endswith("numpy") for line in lines[1:6])
    assert lines[6].startswith("forward ")
    assert lines[6].endswith("(engine numpy, medians of 3)")
    assert [line.split()[0] for line in lines[7:]] == ["blobs", "weights"]


@needs_onednn
def test_layers_that_run_as_one_share_a_row(command, small):
    found = json.loads(command("time", small, "--iterations", "2", "--json").out)
    assert found["engine"] == "onednn"
    assert [row["layers"] for row in found["rows"]] == [["data"], ["conv", "relu"], ["fc"], ["loss"]]
    assert found["rows"][1]["runs_on"] != "numpy"
    assert sum(row["share"] for row in found["rows"]) == pytest.approx(1)
    assert found["rows"][1]["backward"] > 0


def test_a_phase_that_cannot_train_has_no_backward_times(command, small):
    found = json.loads(command("time", small, "--phase", "test", "--iterations", "1", "--json").out)
    assert {row["backward"] for row in found["rows"]} == {0}
    assert found["rows"][-1]["layers"] == ["accuracy"]


def test_sources_are_run_too(command):
    found = json.loads(command("time", "configs/mlp.yaml", "--iterations", "2", "--json").out)
    assert found["rows"][0]["layers"] == ["digits"]


def test_a_wrong_engine_is_told(command, small):
    answer = command("time", small, "--engine", "onedn")
    assert answer.status == 2
    assert "engine must be one of auto, numpy, onednn, not 'onedn'; did you mean 'onednn'?" in answer.err


def timing(engine: str, *rows: Row) -> Timing:
    return Timing(engine, 3, list(rows), 0.0, 0.0, {})


def row(layers: str, forward: float, backward: float) -> Row:
    return Row(layers.split(), ["ReLU" for _ in layers.split()], "x", forward, backward, 0.0, 0.0, "")


def test_layers_that_any_engine_joins_are_compared_together():
    apart = timing("one", row("a", 1, 2), row("b", 3, 0), row("c", 4, 5), row("d", 6, 7))
    joined = timing("two", row("a", 1, 1), row("b c", 2, 3), row("d", 4, 5))
    across = timing("three", row("a b", 1, 1), row("c", 2, 3), row("d", 4, 5))
    assert compare([apart, joined]) == [
        Compared(["a"], ["ReLU"], {"one": 1, "two": 1}, {"one": 2, "two": 1}),
        Compared(["b", "c"], ["ReLU", "ReLU"], {"one": 7, "two": 2}, {"one": 5, "two": 3}),
        Compared(["d"], ["ReLU"], {"one": 6, "two": 4}, {"one": 7, "two": 5}),
    ]
    first = compare([joined, across])[0]
    assert (first.layers, first.forward) == (["a", "b", "c"], {"two": 3, "three": 3})
    with pytest.raises(UsageError, match="must differ, but they are one and one"):
        compare([apart, apart])


@needs_onednn
def test_engines_side_by_side(command, small):
    answer = command("time", small, "--compare", "numpy,onednn", "--iterations", "2")
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0].split() == ["layer", "type", "numpy", "ms", "onednn", "ms", "times", "as", "fast"]
    assert [line.split()[0] for line in lines[1:]] == ["data", "conv", "fc", "loss", "together", "forward"]
    found = json.loads(command("time", small, "--compare", "numpy,onednn", "--iterations", "2", "--json").out)
    assert [each["engine"] for each in found["engines"]] == ["numpy", "onednn"]
    assert found["rows"][1]["layers"] == ["conv", "relu"]
    assert found["rows"][1]["forward"].keys() == {"numpy", "onednn"}


def test_how_many_times_as_fast_the_second_engine_is(command, small, monkeypatch):
    rows = {
        name: [Row(["fc"], ["InnerProduct"], name, took, took, 1.0, 0.0, "")] for name, took in (("a", 3), ("b", 2))
    }
    timings = iter((None, Timing(name, 5, row, row[0].forward, row[0].backward, {})) for name, row in rows.items())
    monkeypatch.setattr("layerkit.cli.time._measure", lambda *_: next(timings))
    _, fc, together, _ = command("time", small, "--compare", "a,b").out.splitlines()
    assert fc.split() == ["fc", "InnerProduct", "6.000", "4.000", "1.5"]
    assert together.split() == ["together", "6.000", "4.000", "1.5"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "numpy"], "--compare takes two engines or more, as in --compare numpy,onednn\n"),
        (["--compare", "numpy,onednn", "--engine", "auto"], "leave --engine out\n"),
        (["--compare", "numpy,onednm"], "did you mean 'onednn'?"),
    ],
)
def test_what_cannot_be_compared(command, small, arguments, said):
    answer = command("time", small, "--iterations", "1", *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err


def test_operations_a_second_count_the_products_of_both_passes(command, small):
    rows = json.loads(command("time", small, "--iterations", "2", "--engine", "numpy", "--json").out)["rows"]
    found = {"".join(row["layers"]): row for row in rows}
    conv = 4 * 10 * 10 * 3 * 9 * 2  # forward, and for the weights; the data needs no gradient
    fc = 4 * 300 * 5 * 3
    for name, products in (("conv", conv), ("fc", fc)):
        took = found[name]["forward"] + found[name]["backward"]
        assert found[name]["gflops"] == pytest.approx(2 * products / took / 1e6)
    assert found["relu"]["gflops"] == 0


def test_a_product_of_two_blobs_has_a_pass_for_the_gradient_of_each(command, folder):
    net = """
layers:
  - {name: data, type: DummyData, top: [x, y], shape: [[2, 30, 70], [2, 70, 50]], data_filler: {type: uniform}}
  - {name: a, type: Scale, bottom: x}
  - {name: b, type: Scale, bottom: y}
  - {name: both, type: MatMul, bottom: [a, b]}
  - {name: one, type: MatMul, bottom: [x, b]}
  - {name: sums, type: Eltwise, bottom: [both, one]}
  - {name: loss, type: Reduction, loss_weight: 1}
"""
    (folder / "net.yaml").write_text(net)
    rows = json.loads(command("time", "net.yaml", "--iterations", "1", "--engine", "numpy", "--json").out)
    found = {"".join(row["layers"]): row for row in rows["rows"]}
    for name, passes in (("both", 3), ("one", 2)):
        took = found[name]["forward"] + found[name]["backward"]
        assert found[name]["gflops"] == pytest.approx(2 * passes * 2 * 30 * 70 * 50 / took / 1e6)


def test_the_first_pass_is_a_warm_up(monkeypatch):
    calls = []

    def took(run):
        run()
        calls.append(run)
        return float(len(calls))

    monkeypatch.setattr("layerkit.report.timing._milliseconds", took)
    net = lk.Net(LENET, engine="numpy")
    found = measure(net, 2)
    assert net.blobs["data"].data.std() > 0.5
    assert not net.blobs["label"].data.any()  # which are classes
    net.close()
    each = len(calls) // 3
    first, *_ = found.rows
    assert len(calls) == 3 * each
    assert first.forward == each + 1 + each / 2  # the median of the second pass and the third


@needs_onednn
def test_it_says_why_numpy_runs_a_layer(command, small):
    lines = command("time", small, "--iterations", "1").out.splitlines()
    assert "on numpy, since onednn has no kernel for such a layer: data" in lines
    rows = json.loads(command("time", small, "--iterations", "1", "--json").out)["rows"]
    assert [bool(row["why"]) for row in rows] == [row["runs_on"] == "numpy" for row in rows]


def test_where_there_is_no_faster_engine_the_reason_is_what_is_missing(command, small, monkeypatch):
    monkeypatch.setattr("layerkit.engines.missing", lambda name: "it is not installed" if name == "onednn" else None)
    monkeypatch.setattr("layerkit.engines.best", lambda: "numpy")
    lines = command("time", small, "--iterations", "1").out.splitlines()
    assert "on numpy, since it is not installed: data, conv, relu, fc, loss" in lines
    assert not any("since" in line for line in command("time", small, "--engine", "numpy").out.splitlines())


def test_the_bytes_that_check_prints_are_those_that_a_solver_has(command, small):
    answer = command("check", small, "--memory", "--engine", "numpy")
    assert answer.status == 0
    lines = [line for line in answer.out.splitlines() if "bytes" in line]
    printed = {tuple(line.split()[:2]): int(line.split("(")[1].split()[0].replace(",", "")) for line in lines}
    solver = lk.Solver(LENET, engine="numpy", keep=())
    solver.step(1)
    assert printed["train:", "blobs"] == solver.net.bytes["blobs"]
    assert printed["train:", "weights"] == solver.net.bytes["weights"]
    assert printed["test:", "blobs"] == solver.test_net.bytes["blobs"]
    assert ("test:", "weights") not in printed


LARGE = """
import json, resource, sys
import numpy as np
import layerkit as lk
from layerkit import threads
threads.use(1, "blas")
net = {"layers": [
    {"name": "data", "type": "Input", "top": ["data", "label"], "shape": [[75, 3, 128, 128], [75]]},
    *({"name": f"c{i}", "type": "Convolution", "num_output": 12, "kernel_size": 3, "pad": 1, "weight_filler": "xavier",
       "bottom": f"s{i - 1}" if i else "data"} if kind == "c" else {"name": f"s{i}", "type": "Sigmoid"}
      for i in range(8) for kind in "cs"),
    {"name": "p", "type": "Pooling", "pool": "AVE", "global_pooling": True},
    {"name": "fc", "type": "InnerProduct", "num_output": 4},
    {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]}]}
def step(net):
    net.forward(); net.backward()
def grown():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"): return int(line.split()[1]) * 1024
small = json.loads(json.dumps(net).replace("[75, 3, 128, 128], [75]", "[1, 3, 128, 128], [1]"))
step(lk.Net(small, engine="numpy", keep=()))
before = grown()
large = lk.Net(net, engine=sys.argv[1], keep=())
step(large)
print(json.dumps({"grown": grown() - before, "told": sum(large.bytes.values()) + large.engine.library}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("engine", engines.names())
def test_a_large_net_takes_up_what_is_told(engine):
    if engines.missing(engine) is not None:
        pytest.skip(f"{engine} cannot run here: {engines.missing(engine)}")
    done = subprocess.run([sys.executable, "-c", LARGE, engine], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["told"] > 500e6
    assert found["grown"] == pytest.approx(found["told"], rel=0.1)
