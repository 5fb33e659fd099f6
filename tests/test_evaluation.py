"""What a net gives over a whole set of samples: means weighted by samples, and metrics that add up what they count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import layerkit as lk
from layerkit.cli.main import app
from layerkit.evaluation import evaluate

LABELS = np.random.default_rng(1).integers(0, 3, 50)
SCORES = np.random.default_rng(2).normal(size=(50, 3))


@pytest.fixture(autouse=True)
def dataset() -> None:
    lk.add_dataset("scores", train={"data": SCORES, "label": LABELS}, class_names=["ant", "bee", "cat"])


def run(batch_size: int, ignore_label: int | None = None, **solver: Any) -> dict[str, Any]:
    """Scores of 50 samples straight from the data, in batches that do not divide 50 evenly."""
    layers = [
        {"name": "data", "type": "Data", "dataset": "scores", "part": "train", "top": ["data", "label"],
         "batch_size": batch_size, "shuffle": False},
        {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 3, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]},
        {"name": "accuracy", "type": "Accuracy", "bottom": ["data", "label"], "top": ["right", "by_class"],
         "ignore_label": ignore_label},
    ]  # fmt: skip
    settings = {"base_lr": 0.05, "max_iter": 2, "display": 0, "test_interval": 1, **solver}
    return {"name": "d", "net": {"layers": layers}, "solver": settings}


def by_hand(*classes: int) -> tuple[float, list[float]]:
    """The share of right answers among the samples of these classes, and of each class."""
    right = SCORES.argmax(axis=1) == LABELS
    by_class = [float(right[k == LABELS].mean()) if k in classes else 0.0 for k in range(3)]
    return right[np.isin(LABELS, classes)].mean(), by_class


@pytest.mark.parametrize("batch_size", [50, 7, 49])
def test_a_metric_is_exact_over_unequal_batches(batch_size: int) -> None:
    found = evaluate(lk.Net(run(batch_size), "test"))
    right, by_class = by_hand(0, 1, 2)
    assert found.samples == 50
    assert found.outputs["right"] == right
    assert found.tables["by_class"].tolist() == by_class


def test_a_metric_is_exact_where_batches_differ_in_how_many_labels_count() -> None:
    found = evaluate(lk.Net(run(7, ignore_label=1), "test"))
    right, by_class = by_hand(0, 2)
    assert found.outputs["right"] == right
    assert found.tables["by_class"].tolist() == by_class


def test_a_second_evaluation_begins_anew() -> None:
    net = lk.Net(run(7), "test")
    assert str(evaluate(net)) == str(evaluate(net))


def test_a_forward_pass_gives_the_value_of_its_batch() -> None:
    net = lk.Net(run(5), "test")
    values = [net.forward()["right"].item() for _ in range(3)]
    assert values == pytest.approx([(SCORES.argmax(1) == LABELS)[i : i + 5].mean() for i in (0, 5, 10)])
    assert net.layers["accuracy"].result()[0] == (SCORES.argmax(1) == LABELS)[:15].mean()
    net.layers["accuracy"].reset()
    net.forward()
    assert net.layers["accuracy"].result()[0] == (SCORES.argmax(1) == LABELS)[15:20].mean()


def test_the_planned_mode_counts_the_same() -> None:
    run_ = run(7)
    whole, planned = lk.Solver(run_), lk.Solver(run_, keep=())
    assert whole.test() == planned.test()


def test_a_mean_weighs_by_samples() -> None:
    whole, parts = evaluate(lk.Net(run(50), "test")), evaluate(lk.Net(run(7), "test"))
    assert parts.outputs["loss"] == pytest.approx(whole.outputs["loss"], rel=1e-6)


def test_batches_are_counted_from_the_beginning() -> None:
    net = lk.Net(run(20), "test")
    assert evaluate(net, 2).samples == 40
    assert evaluate(net, 5).samples == 90  # 50 in one round, then 40 of the next


def test_without_a_source_it_runs_once() -> None:
    layers = [{"name": "x", "type": "Input", "shape": [4, 3]}, {"name": "loss", "type": "EuclideanLoss",
               "bottom": ["x", "x"]}]  # fmt: skip
    assert evaluate(lk.Net({"layers": layers})) == ({"loss": 0}, {}, 4)


def test_it_stops_between_batches() -> None:
    answers = iter([False, True])
    assert evaluate(lk.Net(run(7), "test"), stop=lambda: next(answers)) == ({}, {}, 0)
    assert next(answers, None) is None


def test_the_log_records_what_counts_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def logged(folder: Path) -> list[Any]:
        lk.Solver(run(7), folder=folder).solve()
        return [event.get("tables") for event in lk.events.read(folder / "events.jsonl") if event["event"] == "test"]

    assert logged(tmp_path / "a") == [{"by_class": by_hand(0, 1, 2)[1]}] * 3
    monkeypatch.setattr("layerkit.evaluation.LOGGED", 2)
    assert logged(tmp_path / "b") == [None] * 3


def test_the_command_prints_a_line_a_class(tmp_path: Path) -> None:
    solver = lk.Solver(run(7), folder=tmp_path)
    weights = solver.snapshot()
    (tmp_path / "run.yaml").write_text(json.dumps(run(7)))
    said = CliRunner().invoke(app, ["test", str(tmp_path / "run.yaml"), "--weights", str(weights)])
    lines = said.stdout.splitlines()
    right, by_class = by_hand(0, 1, 2)
    assert f"right {right:.6g}" in lines
    assert [line for line in lines if line.startswith("by_class")] == [
        f"by_class[{name}] {value:.6g}" for name, value in zip(["ant", "bee", "cat"], by_class, strict=True)
    ]
