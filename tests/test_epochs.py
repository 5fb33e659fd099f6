"""Runs counted in epochs: what they come to in iterations, when what falls due, and what cannot be counted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run
from test_rules import sentence

import layerkit as lk
from layerkit.layer import SourceLayer
from layerkit.schedule import Every

SAMPLES = 1437
"""Of the train part of digits."""


def happenings(run: dict[str, Any], folder: Path | None = None) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    solver = lk.Solver(run, folder=folder)
    solver.events.listen(lambda event: seen.append((event["event"], event["iter"])))
    solver.solve()
    return seen


def epochs(batch: int = 100, **fields: Any) -> dict[str, Any]:
    run = digits_run(**fields)
    run["solver"].pop("max_iter")
    run["net"]["layers"][0]["batch_size"]["train"] = batch
    return run


@pytest.mark.parametrize(
    ("batch", "iter_size", "count"), [(100, 1, 3), (64, 2, 5), (479, 1, 2), (1437, 3, 3), (2000, 1, 7)]
)
def test_max_epochs_reads_that_many_samples_and_not_a_batch_more(batch: int, iter_size: int, count: int) -> None:
    solver = lk.Solver(epochs(batch, max_epochs=count, iter_size=iter_size, display=0))
    wanted = next(k for k in range(1, 10**4) if k * batch * iter_size >= count * SAMPLES)
    assert solver.spec.max_iter == solver.spec.iterations == wanted
    solver.solve()
    assert solver.iteration == wanted


def test_every_epoch_has_its_test_display_and_snapshot(tmp_path: Path) -> None:
    run = epochs(400, max_epochs=6, test_interval="1 epoch", display="2 epochs", snapshot="3 epochs")
    seen = happenings(run, tmp_path)
    ends = [math.ceil(k * SAMPLES / 400) for k in range(7)]  # the first iterations before which k epochs were read
    assert ends == [0, 4, 8, 11, 15, 18, 22]
    assert [k for kind, k in seen if kind == "test"] == ends
    assert [k for kind, k in seen if kind == "display"] == ends[:-1:2]
    assert [k for kind, k in seen if kind == "snapshot"] == ends[3::3]


def test_the_record_says_how_long_an_epoch_is() -> None:
    run = digits_run(max_iter=1, iter_size=3)
    run["net"]["layers"][0]["batch_size"]["train"] = 100
    solver, heard = lk.Solver(run), list[dict[str, Any]]()
    solver.events.listen(heard.append)
    solver.solve()
    assert heard[0]["epoch"] == pytest.approx(SAMPLES / 300)


def test_intervals_of_epochs_stand_beside_iterations() -> None:
    run = digits_run(max_iter=40, test_interval="1 epoch", display=15)
    run["net"]["layers"][0]["batch_size"]["train"] = 100
    seen = happenings(run)
    assert [k for kind, k in seen if kind == "test"] == [0, 15, 29, 40]
    assert [k for kind, k in seen if kind == "display"] == [0, 15, 30]


def test_an_interval_falls_due_once_in_every_stretch_of_its_length() -> None:
    assert not any(Every(0).due(k) for k in range(5))
    assert [k for k in range(10) if Every(3).due(k)] == [0, 3, 6, 9]
    assert [k for k in range(10) if Every(5, 2).due(k)] == [0, 3, 5, 8]  # 0, 2.5, 5 and 7.5
    assert [k for k in range(3) if Every(1, 3).due(k)] == [0, 1, 2]


def test_a_policy_sees_the_iterations_of_max_epochs() -> None:
    solver = lk.Solver(epochs(100, max_epochs=2, lr_policy="poly", power=1.0))
    solver.step(10)
    assert solver.lr == pytest.approx(0.05 * (1 - 10 / 29))


def test_a_run_in_epochs_is_the_run_in_their_iterations() -> None:
    in_epochs, plain = lk.Solver(epochs(100, max_epochs=2)), lk.Solver(digits_run(max_iter=29))
    plain = lk.Solver(plain.run.resolved(), overrides=["net.layers.digits.batch_size.train=100"])
    assert in_epochs.solve() == plain.solve()
    np.testing.assert_array_equal(in_epochs.net.flat.data, plain.net.flat.data)


def test_the_longest_of_several_sources_counts(tmp_path: Path) -> None:
    for name, samples in (("short", 30), ("long", 50)):
        np.savez(tmp_path / f"{name}.npz", data=np.zeros((samples, 3), "float32"))
    layers = [
        {"name": name, "type": "Data", "source": str(tmp_path / f"{name}.npz"), "batch_size": batch}
        for name, batch in (("short", 2), ("long", 5))
    ]
    layers.append({"name": "fc", "type": "InnerProduct", "bottom": "long", "num_output": 3})
    layers.append({"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "long"]})
    layers.append({"name": "quiet", "type": "Silence", "bottom": "short", "propagate_down": False})
    solver = lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 0.1, "max_epochs": 2}})
    assert solver.spec.max_iter == 30  # of the source of 15 batches, not of that of 10


def test_epochs_that_cannot_be_counted_are_one_sentence(tmp_path: Path) -> None:
    layers = [
        {"name": "in", "type": "Input", "top": ["x", "y"], "shape": [[4, 3], [4, 2]]},
        {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 2},
        {"name": "loss", "type": "EuclideanLoss", "bottom": ["fc", "y"]},
    ]
    nothing = "no layer of the train net reads samples from a source; count in iterations instead"
    for fields, said in (
        ({"max_epochs": 3}, "max_epochs: 3"),
        ({"max_iter": 9, "snapshot": "1 epoch"}, "snapshot: 1 epoch"),
    ):
        with pytest.raises(lk.UsageError) as error:
            lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 0.1, **fields}})
        assert str(error.value) == f"solver: {said} cannot be counted: {nothing}"


def test_a_source_without_a_length_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lk.layer_class("Data"), "length", SourceLayer.length)
    why = r"its source 'digits' \(Data\) has no length; count in iterations"
    with pytest.raises(lk.UsageError, match=f"solver: display: 2 epochs cannot be counted: {why}"):
        lk.Solver(digits_run(display="2 epochs"))


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        (
            {"max_epochs": 2},
            "solver: max_epochs: max_iter says already how long to train; leave one out (max_iter: null does)",
        ),
        ({"max_iter": None}, "solver: needs max_iter or max_epochs"),
        ({"max_epochs": 0, "max_iter": None}, "max_epochs must be greater than 0, not 0"),
        ({"display": "0 epochs"}, "display must be at least 1 epoch"),
        ({"display": "an epoch"}, "display must be a whole number of iterations, or as '2 epochs', not 'an epoch'"),
        ({"test_interval": 1.5}, "test_interval must be a whole number of iterations, or as '2 epochs', not 1.5"),
        ({"test_interval": True}, "test_interval must be a whole number of iterations, or as '2 epochs', not true"),
        ({"snapshot": -1}, "snapshot must be at least 0, not -1"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_meant_is_one_sentence(fields: dict[str, Any], part: str) -> None:
    assert part in sentence(**fields)
