"""tools/bench.py without PyTorch: its nets, its arithmetic, its tables, and what it says to a wrong use."""

from __future__ import annotations

import io
import json
from types import ModuleType
from typing import Any

import bench_tools
import numpy as np
import pytest


@pytest.fixture(scope="module")
def bench() -> Any:
    """The script as a module; its parts are found while it is one."""
    with bench_tools.loaded() as script:
        yield script


def part(bench: Any, name: str) -> ModuleType:
    return bench_tools.part(name)


# -- the nets --------------------------------------------------------------------------------------------------------


# Weights as published, with Caffe's layers (AlexNet's two groups, GoogLeNet without its auxiliary heads, scale and
# shift but no statistics of BatchNorm), and millions of multiply-adds of one sample.
@pytest.mark.parametrize(
    ("name", "parameters", "millions"),
    [
        ("mlp", 785 * 500 + 501 * 300 + 301 * 10, 0.545),
        ("lenet", 431_080, 2.293),
        ("cifar10_quick", 145_578, 12.35),
        ("alexnet", 60_965_224, 724.4),
        ("googlenet", 6_998_552, 1582.7),
        ("resnet18", 11_689_512, 1814.1),
        ("mobilenet_v2", 3_504_872, 300.8),
    ],
)
def test_nets_are_the_well_known_ones(bench, name, parameters, millions):
    nets, work = part(bench, "nets"), part(bench, "work")
    net = nets.train_graph(name)
    assert nets.parameters(net) == parameters
    assert work.predict_flops(net) / 2 / nets.batch(net) / 1e6 == pytest.approx(millions, rel=0.01)


def test_every_net_is_listed(bench):
    nets = part(bench, "nets")
    assert sorted(nets.NAMES) == sorted(file.stem for file in nets.FOLDER.glob("*.yaml"))


def test_training_is_three_passes_but_for_the_first_layers_data_gradient(bench):
    nets, work = part(bench, "nets"), part(bench, "work")
    first = 64 * 784 * 500
    rest = 64 * (500 * 300 + 300 * 10)
    assert work.train_flops(nets.train_graph("mlp")) == 2 * (2 * first + 3 * rest)


def test_grouped_convolutions_see_their_group_only(bench):
    nets, work = part(bench, "nets"), part(bench, "work")
    nodes = {node.name: node for node in nets.train_graph("alexnet").nodes}
    assert work.multiply_adds(nodes["conv2/conv"]) == 16 * 256 * 27 * 27 * (96 // 2) * 5 * 5


# -- a side, in this process -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(bench, tmp_path):
    part(bench, "job").write(tmp_path, "mlp")
    return tmp_path


def test_a_worker_answers_every_order(bench, folder):
    worker, sides = part(bench, "worker"), part(bench, "sides")
    orders = [
        {"do": "build"},
        {"do": "outputs", "file": "numpy.npz"},
        {"do": "works"},
        {"do": "run", "work": "train", "seconds": 0.01},
        {"do": "run", "work": "predict", "seconds": 0},
        {"do": "run", "work": "predict_one", "seconds": 0},
        {"do": "run", "work": "nonsense", "seconds": 0},
        {"do": "loss"},
    ]
    answers = io.StringIO()
    lines = io.StringIO("".join(json.dumps(order) + "\n" for order in orders))
    worker.obey(worker.Worker(sides.SIDES["numpy"], folder, 1), lines, answers)
    found = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert len(found) == len(orders)
    assert found[6]["error"].startswith("KeyError")
    assert not any("error" in answer for answer in found[:6])
    assert found[3]["seconds"] > 0
    assert 0 < found[7]["loss"] < 10


def test_a_side_is_a_process_of_its_own(bench, folder):
    process, sides = part(bench, "process"), part(bench, "sides")
    with process.Process(sides.SIDES["numpy"], folder, 1) as worker:
        found = worker.ask("fresh")
        assert found["peak_mb"] is None or 10 < found["peak_mb"] < 1000
        assert found["setup_s"] > 0
        assert found["import_s"] > 0
        with pytest.raises(process.SideError, match="KeyError: 'nonsense'"):
            worker.ask("run", work="nonsense", seconds=0)
        worker._process.kill()
        with pytest.raises(process.SideError, match="of layerkit numpy ended with status -9: it said nothing"):
            worker.ask("loss")


def test_float32_and_float64_agree_and_a_wrong_gradient_shows(bench, folder):
    worker, sides, parity = part(bench, "worker"), part(bench, "sides"), part(bench, "parity")
    for side in (sides.SIDES["numpy"], sides.REFERENCE):
        made = worker.Worker(side, folder, 1)
        made.build()
        made.outputs(f"{side.name}.npz")
    found = parity.compare(folder / "numpy.npz", folder / "reference.npz")
    assert parity.fault(found, parity.FLOAT32) is None
    assert parity.fault(found, parity.FLOAT64) is not None
    arrays = dict(np.load(folder / "numpy.npz"))
    arrays["fc2.bias"] = arrays["fc2.bias"] * 1.5
    np.savez(folder / "wrong.npz", **arrays)
    found = parity.compare(folder / "wrong.npz", folder / "reference.npz")
    assert found["worst"] == "fc2.bias"
    assert "gradient of fc2.bias differs from float64 by 5.0e-01" in parity.fault(found, parity.FLOAT32)


def test_a_torch_worker_is_told_its_net_without_yaml(bench, folder):
    layers = part(bench, "job").read(folder)["layers"]
    assert [each["type"] for each in layers][:3] == ["Input", "InnerProduct", "ReLU"]
    assert layers[2]["bottoms"] == ["fc1@0"]
    assert layers[2]["tops"] == ["fc1@1"]


@pytest.mark.parametrize(
    ("found", "reference", "least", "expected"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0, 0),
        ([3.0, 4.5], [3.0, 4.0], 0, 0.1),
        ([1e-9], [0.0], 1e-3, 1e-6),
        ([1.0, 2.0], [1.0], 0, np.inf),
        ([np.nan], [1.0], 0, np.inf),
    ],
)
def test_difference(bench, found, reference, least, expected):
    assert part(bench, "parity").difference(found, reference, least) == pytest.approx(expected)


# -- rounds ----------------------------------------------------------------------------------------------------------


class Clockwork:
    """A worker whose every run takes the same time."""

    pid = 1

    def __init__(self, name, seconds, heard):
        self.name, self.seconds, self.heard = name, seconds, heard

    def ask(self, order, **details):
        self.heard.append((self.name, details["work"], details["seconds"]))
        return {"seconds": self.seconds}


def test_rounds_take_turns_and_begin_with_another_side_each_time(bench, monkeypatch):
    rounds = part(bench, "rounds")
    monkeypatch.setattr(rounds, "PAUSE", 0)
    monkeypatch.setattr(rounds.machine, "used", lambda pids: None)
    heard: list[Any] = []
    workers = {"a": Clockwork("a", 0.1, heard), "b": Clockwork("b", 10.0, heard)}
    for worker in workers.values():
        rounds.warm_up(worker)
    assert heard[:2] == [("a", "train", 0), ("a", "train", rounds.TURN)]
    heard.clear()
    found = rounds.measure(workers, 2)
    assert found["turns"]["b"] == {work: [10.0, 10.0] for work in rounds.WORKS}
    assert found["foreign"] == [None, None]
    assert [(name, work) for name, work, _ in heard] == [
        *[(name, work) for work in rounds.WORKS for name in "ab"],
        *[(name, work) for work in rounds.WORKS for name in "ba"],
    ]


def test_foreign_load_is_what_others_used(bench):
    machine = part(bench, "machine")
    before, after = machine.Used(10.0, 100.0, 50.0), machine.Used(12.0, 103.0, 52.0)
    assert machine.foreign(before, after) == pytest.approx(0.5)
    assert machine.foreign(before, None) is None


# -- tables ----------------------------------------------------------------------------------------------------------


def turns(*ms: float) -> dict[str, list[float]]:
    return {work: [each / 1000 for each in ms] for work in ("train", "predict", "predict_one")}


PARITY = {"loss": 1e-7, "probabilities": 1e-7, "gradient": 2e-6, "worst": "fc1.weight"}
RESULTS: dict[str, Any] = {
    "machine": {
        "processor": "Abacus", "cores": 4, "threads": 2, "system": "Linux x86_64", "python": "3", "numpy": "2",
        "torch": "9",
    },
    "rounds": 3,
    "peak": {"onednn": 100.0, "eager": 80.0},
    "nets": {
        "mlp": {
            "batch": 10, "parameters": 5, "train_flops": 300_000_000, "predict_flops": 100_000_000,
            "foreign": [0.1, 0.3, 0.2],
            "sides": {
                "onednn": {"parity": PARITY, "turns": turns(6, 4, 5), "peak_mb": 80.4, "setup_s": 0.5, "import_s": 0.2},
                "numpy": {"parity": PARITY, "turns": turns(20, 20, 20)},
                "eager": {"parity": PARITY, "turns": turns(10, 9, 30)},
                "eager-fused": {"parity": PARITY, "turns": turns(8, 7, 9)},
                "compile": {"fault": "RuntimeError: no g++|clang++"},
            },
        },
        "lenet": {"fault": "torch in float64 does not confirm the reference"},
    },
}  # fmt: skip


def test_medians_minima_and_ratios(bench):
    table = part(bench, "table")
    times = table.summarise(RESULTS["nets"]["mlp"])
    assert list(times) == ["onednn", "numpy", "eager", "eager-fused"]
    assert times["onednn"]["train"] == pytest.approx({"median": 5, "min": 4})
    assert table.best_torch(times, "train") == "eager-fused"
    assert table.ratio(times, "train", "eager") == pytest.approx(2)
    assert table.ratio(times, "train", "eager-fused") == pytest.approx(1.6)
    assert table.ratio(times, "train", "compile") is None
    assert table.ratio(times, "train", "eager", "compile") is None
    assert table.best_torch({}, "train") is None


def test_rates_count_one_sample_as_its_share_of_the_batch(bench):
    table, net = part(bench, "table"), RESULTS["nets"]["mlp"]
    assert table.rate(net, 5, "train") == pytest.approx(60)
    assert table.rate(net, 5, "predict") == pytest.approx(20)
    assert table.rate(net, 5, "predict_one") == pytest.approx(2)


def test_markdown(bench):
    text = part(bench, "table").markdown(RESULTS)
    lead = "| mlp (10) | 5.00 | 20.0 | 10.0 | 8.00 (eager, fused SGD) | 2.00x | 1.60x | 60 | 60% |"
    assert lead in text
    assert "| mlp (1) | 5.00 | 20.0 | 10.0 | 8.00 (eager, fused SGD) | 2.00x | 1.60x | 2 | 2% |" in text
    assert "torch, best of 3 modes" in text
    assert "| mlp | 80 | - | - | - | 0.50 | - | - | - | 0.20 | - | - | - |" in text
    assert "| mlp | compile: RuntimeError: no g++/clang++ | - | - | - | - | - | - |" in text
    assert "| mlp | eager | 10.0 (9.00) | 10.0 (9.00) | 10.0 (9.00) | 1.00x | 1e-07, 2e-06 | 0.20, 0.30 |" in text
    assert "| lenet | torch in float64 does not confirm the reference |" in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_markdown_of_nothing_but_faults(bench):
    text = part(bench, "table").markdown({**RESULTS, "peak": {}, "nets": {"lenet": RESULTS["nets"]["lenet"]}})
    assert "not measured" in text
    assert "Memory" not in text


# -- use -------------------------------------------------------------------------------------------------------------


def test_a_missing_torch_is_one_sentence(bench, monkeypatch, capsys):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    assert bench.main(["--nets", "mlp"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "PyTorch" in err
    assert "'torch'" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nets", "mlp,lenot"], "bench: there is no net 'lenot'; there are: mlp, lenet, cifar10_quick, alexnet, "),
        (["--sides", "cuda"], "bench: there is no side 'cuda'; there are: onednn, numpy, eager, eager-fused, "),
    ],
)
def test_unknown_names_list_the_known_ones(bench, capsys, arguments, sentence):
    assert bench.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_no_threads_are_none(bench, capsys):
    with pytest.raises(SystemExit) as caught:
        bench.main(["--threads", "0"])
    assert caught.value.code == 2
    assert "'0' is not a whole number from 1 on" in capsys.readouterr().err


def test_names_are_measured_in_one_order(bench):
    assert bench._chosen("net", "lenet, mlp", ("mlp", "lenet", "alexnet")) == ["mlp", "lenet"]
    assert bench._chosen("side", None, ("a", "b", "c"), ("a", "c")) == ["a", "c"]
