"""A sweep's combinations: which there are, what they are called, and what is refused before anything runs."""

from collections import Counter
from pathlib import Path

import pytest

from layerkit.errors import ConfigError, UnknownNameError, UsageError
from layerkit.sweep import TRAIN_LOSS, Result, default_goal, plan, ranked
from layerkit.sweep.grid import Axis, _short_names, split

MLP = str(Path(__file__).parents[1] / "configs" / "mlp.yaml")
RATES = "solver.base_lr=0.1,0.01,0.001"
WIDTHS = "net.layers.fc1.num_output=16,32"


def labels(*assignments: str, **options) -> list[str]:
    return [combination.label for combination in plan(MLP, assignments, **options)]


def refused(*assignments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan(MLP, assignments)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1", ("0.1",)),
        ("0.1,0.01", ("0.1", "0.01")),
        ("1, 2", ("1", "2")),
        ("[3,5],[5,5]", ("[3,5]", "[5,5]")),
        ("[[1,2],[3,4]]", ("[[1,2],[3,4]]",)),
        ("xavier,{type: uniform, min: -1, max: 1}", ("xavier", "{type: uniform, min: -1, max: 1}")),
        ('"a,b",c', ('"a,b"', "c")),
        ("'a,b','[c'", ("'a,b'", "'[c'")),
        ('["a,]",b],c', ('["a,]",b]', "c")),
        ("it's,that's", ("it's", "that's")),
        ("a]b,c", ("a]b", "c")),
        ("", ("",)),
    ],
)
def test_commas_part_values_unless_within_brackets_or_quotes(text, values):
    assert split(text) == values


def test_the_grid_has_every_combination_once_the_last_varying_fastest():
    assert labels(RATES, WIDTHS) == [
        f"base_lr={rate},fc1.num_output={width}" for rate in ("0.1", "0.01", "0.001") for width in (16, 32)
    ]


def test_a_combination_is_the_run_that_its_assignments_make():
    (_, second) = plan(MLP, ["solver.max_iter=5", WIDTHS, "solver.random_seed=3"])
    assert second.assignments == ("solver.max_iter=5", "net.layers.fc1.num_output=32", "solver.random_seed=3")
    assert second.values == {"fc1.num_output": "32"}
    assert (second.run.solver.max_iter, second.run.solver.random_seed) == (5, 3)
    assert second.run.resolved()["net"]["layers"][1]["num_output"] == 32


def test_what_is_always_set_wins_and_is_not_part_of_the_label():
    runs = plan(MLP, [RATES], always=["engine=numpy"])
    assert [run.run.engine for run in runs] == ["numpy"] * 3
    assert runs[0].label == "base_lr=0.1"
    assert runs[0].assignments == ("solver.base_lr=0.1",)


def test_random_picks_are_part_of_the_grid_never_twice_and_decided_by_the_seed():
    whole = labels(RATES, WIDTHS)
    picked = labels(RATES, WIDTHS, picks=4, seed=1)
    assert len(set(picked)) == 4
    assert set(picked) <= set(whole)
    assert labels(RATES, WIDTHS, picks=4, seed=1) == picked
    assert labels(RATES, WIDTHS, picks=3, seed=1) == picked[:3]  # more picks are the same ones and others
    assert labels(RATES, WIDTHS, picks=100) == whole
    drawn = Counter(labels(RATES, WIDTHS, picks=1, seed=seed)[0] for seed in range(60))
    assert set(drawn) == set(whole)


def test_a_huge_grid_is_refused_but_picks_of_it_are_not():
    many = [f"net.layers.fc{k}.{field}=" + ",".join(map(str, range(1, 100))) for k, field in ((1, "num_output"),)]
    many += [f"solver.{name}=" + ",".join(map(str, range(1, 1000))) for name in ("stepsize", "test_interval")]
    with pytest.raises(UsageError, match=r"^that makes 98,802,099 runs, and 10,000 are the most; --random N takes N"):
        plan(MLP, many)
    assert len(plan(MLP, many, picks=2)) == 2


@pytest.mark.parametrize(
    ("assignments", "sentence"),
    [
        (["solver.base_lr=0.1"], "nothing varies: give several values, as in --set solver.base_lr=0.1,0.01"),
        ([], "nothing varies: give several values, as in --set solver.base_lr=0.1,0.01"),
        (["name=a,b"], "--set name cannot have several values: the runs of a sweep share it"),
        (["threads=1,2"], "--set threads cannot have several values: --threads are divided among the jobs"),
        ([RATES, "solver.base_lr=1"], "--set solver.base_lr is given twice; give all its values in one"),
        (["solver=null", WIDTHS], "the run 'mlp' has no 'solver', so there is nothing to train by"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_one_sentence(assignments, sentence):
    with pytest.raises(UsageError) as caught:
        plan(MLP, assignments)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("solver.base_lr", "--set solver.base_lr: not of the form a.b=value or a.b=value,value"),
        ("=1,2", "--set =1,2: not of the form a.b=value or a.b=value,value"),
        ("solver.base_lr=1,,2", "--set solver.base_lr=1,,2: a value is missing beside a comma"),
        ("solver.base_lr=1,", "--set solver.base_lr=1,: a value is missing beside a comma"),
        ("solver.base_lr=0.1,1e-1", "--set solver.base_lr=0.1,1e-1: 0.1 and 1e-1 are the same value"),
    ],
)
def test_a_wrong_assignment_is_one_sentence(assignment, sentence):
    assert refused(assignment) == [sentence]


def test_all_faults_of_all_combinations_are_reported_at_once():
    fault = "solver: base_lr must be a number, not 'x'"
    other = "layer 'fc1' (InnerProduct): num_output must be greater than 0, not 0"
    assert refused("solver.base_lr=x,0.1,0.2", "net.layers.fc1.num_output=0,8") == [
        f"base_lr=x,fc1.num_output=0 (and 2 more): --set net.layers.fc1.num_output=0: {other}",
        f"base_lr=x,fc1.num_output=0 (and 1 more): --set solver.base_lr=x: {fault}",
    ]


def test_a_fault_that_only_a_combination_has_names_that_one():
    lines = refused("net.layers.fc1.num_output=8,9", "net.layers.fc2.bottom=data,none")
    assert len(lines) == 1
    assert lines[0].startswith("fc1.num_output=8,fc2.bottom=none (and 1 more): --set net.layers.fc2.bottom=none: ")


def test_a_fault_of_the_file_itself_is_said_once_and_plainly():
    assert refused(RATES, "solver.max_iter=x") == [
        "--set solver.max_iter=x: solver: max_iter must be a whole number, not 'x'"
    ]


def test_a_bracket_that_is_never_closed_is_said_to_be_so():
    (line,) = refused(RATES, "solver.stepvalue=[1,2")
    assert line.startswith("--set solver.stepvalue=[1,2: this is never closed by a ']'")


def test_folders_are_readable_and_never_the_same():
    assert plan(MLP, [RATES, WIDTHS])[0].folder == "base_lr=0.1,fc1.num_output=16"
    fillers = plan(MLP, ["net.layers.fc1.weight_filler={type: gaussian, std: 1},{type: gaussian, std: 2}"])
    names = [each.folder for each in fillers]
    assert len(set(names)) == 2
    assert all(name.startswith("fc1.weight_filler=-type-gaussian,-std-") for name in names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._=,-") for name in names)
    long = plan(MLP, [f"solver.gamma=0.{'1' * 120},0.{'2' * 120}"])
    assert len({each.folder for each in long}) == 2
    assert all(len(each.folder) <= 120 for each in long)


def test_names_are_short_but_never_the_same():
    axes = [Axis("solver.base_lr", ("1", "2")), Axis("net.layers.fc1.num_output", ("1", "2"))]
    assert _short_names(axes) == {"solver.base_lr": "base_lr", "net.layers.fc1.num_output": "fc1.num_output"}
    axes = [Axis("solver.test_state.level", ("1", "2")), Axis("net.layers.test_state.level", ("1", "2"))]
    assert _short_names(axes) == {axis.path: axis.path for axis in axes}


# -- results -------------------------------------------------------------------------------------------------------


def test_runs_are_ordered_by_the_first_metric_and_more_of_it_is_better():
    runs = plan(MLP, [RATES])
    assert default_goal(runs, None) == ("accuracy", "max")
    assert default_goal(runs, "loss") == ("loss", "min")
    assert default_goal(runs, TRAIN_LOSS) == (TRAIN_LOSS, "min")
    with pytest.raises(
        UnknownNameError, match=r"no number to put runs in order by 'acuracy'; did you mean 'accuracy'\?"
    ):
        default_goal(runs, "acuracy")


def test_without_a_metric_it_is_the_loss_and_without_tests_that_of_training():
    layers = """
  - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 10}
  - {name: fc, type: InnerProduct, bottom: data, num_output: 10}
  - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
solver: {base_lr: 0.1, max_iter: 1%s}
"""
    text = f"name: a\nnet:\n  layers:{layers.replace(chr(10) + '  -', chr(10) + '    -')}"
    assert default_goal(plan(text % ", test_interval: 1", [RATES]), None) == ("loss", "min")
    assert default_goal(plan(text % "", [RATES]), None) == (TRAIN_LOSS, "min")


def test_of_an_error_less_is_better():
    text = """
net:
  layers:
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 10}
    - {name: flat, type: Flatten, bottom: data}
    - {name: fc, type: InnerProduct, num_output: 64}
    - {name: loss, type: EuclideanLoss, bottom: [fc, flat]}
    - {name: mse, type: MeanSquaredError, bottom: [fc, flat], include: test}
solver: {base_lr: 0.1, max_iter: 1}
"""
    assert default_goal(plan(text, [RATES]), None) == ("mse", "min")


def test_the_best_comes_first_and_what_did_not_finish_last():
    runs = plan(MLP, ["solver.base_lr=1,2,3,4,5"])
    results = [
        Result("finished", outputs={"accuracy": 0.5}),
        Result("interrupted", outputs={"accuracy": 0.99}),
        Result("finished", outputs={"accuracy": 0.9}),
        Result("failed", error="no"),
        Result("finished", outputs={"accuracy": None}),
    ]

    def order(best):
        return [run.values["base_lr"] for run, _ in ranked(list(zip(runs, results, strict=True)), "accuracy", best)]

    assert order("max") == ["3", "1", "5", "2", "4"]
    assert order("min") == ["1", "3", "5", "2", "4"]
