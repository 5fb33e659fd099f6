"""The range test: rates that grow evenly, where it ends, what it suggests, and what `train --find-lr` leaves behind."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from command_tools import in_terminal, visible

import layerkit as lk
from layerkit import arrayfile
from layerkit.errors import DataError, UsageError
from layerkit.range_test import RangeSolver, find, to_csv, window
from layerkit.spec import load_run

MLP = "configs/mlp.yaml"
ROOT = Path(__file__).parents[1]

BOWL = """
layers:
  - {name: x, type: DummyData, shape: [[1, 1]], data_filler: {type: constant, value: 1}}
  - {name: target, type: DummyData, shape: [[1, 1]]}
  - {name: w, type: InnerProduct, bottom: x, num_output: 1, bias_term: false, weight_filler: {type: constant, value: 1}}
  - {name: loss, type: EuclideanLoss, bottom: [w, target]}
solver: {base_lr: 5, max_iter: 1, lr_policy: step, gamma: 0.1, stepsize: 1%s}
"""
"""Half the square of one weight, from 1: its gradient is the weight itself."""


def over(first: float, last: float, count: int, fields: str = "", text: str = BOWL) -> RangeSolver:
    run = load_run(text % fields)
    net = lk.Net(text % fields, phase="train", dtype="float64")
    return RangeSolver.over(net, run.solver, first, last, count)


def test_the_rate_grows_by_one_factor_from_first_to_last_whatever_the_policy():
    found = find(over(1e-4, 1e-1, 31))
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1e-1, 31), rtol=1e-12)


def test_settings_for_tests_do_no_harm():
    found = find(over(1e-4, 1e-1, 5, ", test_interval: 1, early_stopping: {metric: loss}, max_time: 1s, keep_last: 1"))
    assert len(found.losses) == 5


def test_losses_are_those_of_the_rule_at_these_rates():
    rates, weight, losses = np.geomspace(1e-3, 1.0, 40), 1.0, []
    for rate in rates:
        losses.append(weight**2 / 2)
        weight -= rate * weight
    found = find(over(1e-3, 1.0, 40))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-10)
    rates, weight, speed, losses = np.geomspace(1e-3, 1.0, 40), 1.0, 0.0, []
    for rate in rates:
        losses.append(weight**2 / 2)
        speed = 0.9 * speed + rate * (weight + 0.5 * weight)
        weight -= speed
    found = find(over(1e-3, 1.0, 40, ", momentum: 0.9, weight_decay: 0.5"))
    np.testing.assert_allclose(found.losses, losses[: len(found.losses)], rtol=1e-9)


def test_means_and_slopes_are_those_of_the_best_line_in_a_window():
    found = find(over(1e-3, 1.0, 60))
    assert window(60) == 7
    for i in (0, 2, 30, 59):
        part = slice(max(0, i - 3), i + 4)
        slope, _ = np.polyfit(np.log10(found.rates[part]), found.losses[part], 1)
        assert found.slopes[i] == pytest.approx(slope, rel=1e-6, abs=1e-9)
        assert found.smooth[i] == pytest.approx(found.losses[part].mean())
    assert found.steepest == np.argmin(found.slopes[: found.lowest + 1])
    assert found.suggestion == found.rates[found.steepest]


@pytest.mark.parametrize(("count", "wide"), [(2, 3), (10, 3), (30, 3), (40, 5), (100, 11), (1000, 101)])
def test_the_window_is_odd_and_about_a_tenth(count, wide):
    assert window(count) == wide


def test_it_ends_where_the_loss_diverges():
    found = find(over(1e-2, 1e4, 100))
    assert found.diverged is not None
    assert 2 < found.diverged < 1000  # above 2 each step makes the weight greater
    assert len(found.rates) < 100
    assert found.suggestion is not None
    assert 0.01 < found.suggestion < 2


def test_a_loss_that_overflows_is_a_divergence_and_no_error():
    text = (ROOT / MLP).read_text().replace("base_lr: 0.1 ", "base_lr: 0.1%s ")
    found = find(over(1e-3, 1e30, 20, text=text))
    assert found.diverged is not None
    assert np.isfinite(found.losses).all()


def test_where_it_never_falls_nothing_is_suggested():
    text = (ROOT / MLP).read_text().replace("base_lr: 0.1 ", "base_lr: 0.1%s ")
    found = find(over(1e-9, 1e-6, 60, text=text))
    assert (found.suggestion, found.steepest, found.diverged) == (None, None, None)


def test_broken_samples_are_an_error_and_no_divergence(tmp_path):
    labels = np.r_[np.zeros(45), [99], np.zeros(4)].astype(np.float32)
    np.savez(tmp_path / "a.npz", data=np.random.default_rng(0).normal(size=(50, 4)).astype("float32"), label=labels)
    text = f"""
layers:
  - {{name: d, type: Data, top: [data, label], source: {tmp_path / "a.npz"}, batch_size: 10}}
  - {{name: fc, type: InnerProduct, bottom: data, num_output: 3}}
  - {{name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}}
solver: {{base_lr: 1, max_iter: 1%s}}
"""
    with pytest.raises(DataError, match="99"):
        find(over(1e-5, 1, 30, text=text))


@pytest.mark.parametrize(
    ("course", "sentence"),
    [
        ((0.0, 1.0, 10), "the rate must grow from above 0 to a greater one, not from 0 to 1"),
        ((1.0, 0.1, 10), "the rate must grow from above 0 to a greater one, not from 1 to 0.1"),
        ((1.0, math.inf, 10), "the rate must grow from above 0 to a greater one, not from 1 to inf"),
        ((0.1, 1.0, 1), "a range test takes at least 2 iterations, not 1"),
    ],
)
def test_a_course_that_cannot_be_is_one_sentence(course, sentence):
    with pytest.raises(UsageError) as caught:
        over(*course)
    assert str(caught.value) == sentence


def test_a_loss_that_is_never_finite_is_one_sentence():
    text = (ROOT / MLP).read_text().replace("base_lr: 0.1 ", "base_lr: 0.1%s ")
    with pytest.raises(UsageError, match=r"^the loss is not finite even at the smallest rate"):
        find(over(1e300, 1e305, 10, text=text))


def test_the_table_has_a_line_an_update():
    found = find(over(1e-3, 1.0, 20))
    rows = list(csv.DictReader(to_csv(found).splitlines()))
    assert [int(row["iteration"]) for row in rows] == list(range(20))
    for name, column in (("lr", found.rates), ("loss", found.losses), ("smooth_loss", found.smooth)):
        np.testing.assert_array_equal([float(row[name]) for row in rows], column)


# -- the command ---------------------------------------------------------------------------------------------------


def test_it_prints_a_table_a_plot_and_a_suggestion_and_leaves_a_csv_alone(command):
    answer = command("train", MLP, "--find-lr")
    assert answer.status == 0
    assert [path.as_posix() for path in sorted(Path("runs").rglob("*"))] == [
        "runs/mlp-find-lr",
        "runs/mlp-find-lr/find_lr.csv",
    ]
    rows = list(csv.DictReader(Path("runs/mlp-find-lr/find_lr.csv").read_text().splitlines()))
    assert answer.err == f"all {len(rows)} iterations are in runs/mlp-find-lr/find_lr.csv; no weights were kept\n"
    lines = answer.out.splitlines()
    assert lines[0].split() == ["iteration", "lr", "loss", "mean", "of", "11", "slope", "per", "decade"]
    (steepest,) = (line for line in lines if line.endswith("  steepest"))
    rate = float(rows[int(steepest.split()[0])]["lr"])
    assert 0.01 < rate < 1
    assert f"steepest at {rate:.2g} ^" in answer.out
    assert lines[-1].startswith(
        f"suggestion: --set solver.base_lr={rate:.2g}, where the loss fell fastest; it was lowest"
    )
    assert max(map(len, lines[:-1])) <= 80
    assert command("train", MLP, "--find-lr", "--quiet")[:2] == answer[:2]  # the same again, over the older CSV


def test_course_folder_weights_and_the_runs_settings_are_taken(command):
    fc1 = np.full((128, 64), 0.01, np.float32)
    arrayfile.save("w.safetensors", {"fc1.weight": fc1})
    course = ("--from", "1e-9", "--to", "1e-8", "--iterations", "12", "--folder", "here", "--seed", "1")
    answer = command("train", MLP, "--find-lr", *course, "--weights", "w.safetensors", "--set", "solver.momentum=0")
    assert answer.status == 0
    assert answer.err.startswith("1 of 4 weights from w.safetensors; ")
    assert answer.out.splitlines()[-1] == (
        "no suggestion: up to 1e-08 the loss fell by no more than it differs between batches; "
        "try greater rates with --to"
    )
    rows = list(csv.DictReader(Path("here/find_lr.csv").read_text().splitlines()))
    assert [float(rows[i]["lr"]) for i in (0, -1)] == pytest.approx([1e-9, 1e-8])
    solver = lk.Solver(MLP, overrides=["solver.random_seed=1", "solver.base_lr=0"])
    solver.net.load_weights("w.safetensors", strict=False)
    assert float(rows[0]["loss"]) == pytest.approx(solver.step(), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "1e-3"], "at 0.001 it still fell, so try greater rates with --to"),
        (["--from", "1e6", "--to", "1e30"], "and diverged at "),
    ],
)
def test_what_it_saw_is_said(command, options, said):
    text = Path(MLP).read_text().replace("scale: 0.0625", "scale: 1").replace("momentum: 0.9", "momentum: 0.99")
    Path("mlp.yaml").write_text(text)
    assert said in command("train", "mlp.yaml", "--find-lr", *options).out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([MLP, "--to", "1"], "--from, --to and --iterations say how --find-lr goes; give it too, or leave them out\n"),
        ([MLP, "--find-lr", "--resume"], "and replaces no run; leave the other option out\n"),
        ([MLP, "--find-lr", "--force"], "and replaces no run; leave the other option out\n"),
        ([MLP, "--find-lr", "--from", "0"], "the rate must grow from above 0 to a greater one, not from 0 to 10\n"),
        (
            ["configs/lecture/branch.yaml", "--find-lr"],
            "the run 'branch' has no 'solver', so there is nothing to train by\n",
        ),
        (
            ["configs/lecture/branch.yaml", "--find-lr", "--set", "solver={base_lr: 1, max_iter: 1}"],
            "give it a Data layer\n",
        ),
    ],
)
def test_what_can_be_mended_is_one_sentence(command, arguments, sentence):
    answer = command("train", *arguments)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.endswith(sentence)
    assert not Path("runs").exists()


def test_in_a_terminal_a_bar_counts(folder):
    status, written = in_terminal(folder, 80, "train", MLP, "--find-lr", "--iterations", "1000", "--to", "0.1")
    assert status == 0
    assert any("/1000  lr " in line and "━" in line for line in visible(written))
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")  # the cursor is shown again
