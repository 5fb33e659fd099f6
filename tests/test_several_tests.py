"""Several test nets: their states, their outputs' names, how much each tests, and that resuming knows them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rule_tools import digits_run
from test_resume import assert_same, course, everything
from test_rules import sentence

import layerkit as lk
from layerkit import arrayfile, events, graph
from layerkit.evaluation import evaluate


def two(**fields: Any) -> dict[str, Any]:
    """A run that is tested on the test samples (`new`) and on the training samples (`seen`)."""
    run = digits_run(test_state=[{"stage": "new"}, {"stage": ["seen"]}], **fields)
    data, *others = run["net"]["layers"]
    size = {"train": 20, "test": 180}
    run["net"]["layers"] = [
        {**data, "exclude": {"phase": "test", "stage": "seen"}, "batch_size": size},
        {**data, "name": "seen", "part": "train", "include": {"phase": "test", "stage": "seen"}, "batch_size": size},
        *others,
    ]
    return run


def test_each_state_is_a_net_over_the_same_weights() -> None:
    solver = lk.Solver(two())
    assert list(solver.test_nets) == ["new", "seen"]
    assert solver.test_net is solver.test_nets["new"]
    solver.step(3)
    outputs = solver.test()
    assert set(outputs) == {"new.loss", "new.accuracy", "seen.loss", "seen.accuracy"}
    for name, net in solver.test_nets.items():
        assert {f"{name}.{key}": value for key, value in evaluate(net).outputs.items()}.items() <= outputs.items()
        assert np.shares_memory(net.params["fc1"][0].data, solver.net.params["fc1"][0].data)
    assert outputs["new.loss"] != outputs["seen.loss"]


def test_a_single_state_is_what_it_was(tmp_path: Path) -> None:
    listed, plain = (lk.Solver(digits_run(test_state=state)) for state in ([{"stage": "a"}], {"stage": "a"}))
    assert list(listed.test_nets) == list(plain.test_nets) == ["a"]
    assert set(listed.solve()) == set(plain.solve()) == {"loss", "accuracy"}


def test_one_event_has_the_outputs_of_all(tmp_path: Path) -> None:
    outputs = lk.Solver(two(max_iter=3, test_interval=3), folder=tmp_path).solve()
    last = [event for event in events.read(tmp_path / "events.jsonl") if event["event"] == "test"][-1]
    assert last["outputs"] == outputs
    assert last["samples"] == 360 + 1437


def test_test_iter_is_for_all_or_for_each() -> None:
    for test_iter, samples in ((1, 360), ([1, 3], 720), ([2, "all"], 360 + 1437), ("all", 360 + 1437)):
        solver = lk.Solver(two(test_iter=test_iter))
        seen: list[int] = []
        solver.events.listen(lambda event, seen=seen: seen.append(event["samples"]))
        solver.test()
        assert seen == [samples]


def test_a_net_that_exists_already_is_tested_as_its_state_says() -> None:
    whole = lk.Solver(digits_run(test_state={"stage": "a"}, test_iter=1))
    solver = lk.Solver.from_net(whole.net, whole.spec, test_net=whole.test_net)
    seen: list[int] = []
    solver.events.listen(lambda event: seen.append(event["samples"]))
    assert solver.test() == whole.test()
    assert seen == [180]


def test_metrics_of_policies_name_their_net() -> None:
    assert lk.Solver(two(keep_best=True)).best.metric == "new.accuracy"
    assert lk.Solver(two(early_stopping="seen.loss")).best._sign == -1
    with pytest.raises(lk.UnknownNameError, match=r"'accuracy'; did you mean 'new.accuracy'"):
        lk.Solver(two(early_stopping="accuracy"))


def test_a_test_cut_short_in_the_second_net_is_as_if_it_had_not_begun(tmp_path: Path) -> None:
    whole = lk.Solver(two(), folder=tmp_path / "whole")
    whole.solve()
    first = lk.Solver(two(), folder=tmp_path / "parts")
    real = first.test_nets["seen"].forward

    def forward() -> Any:
        first.stopping = first.stopping or first.iteration == 6
        return real()

    first.test_nets["seen"].forward = forward
    assert first.solve() == {}
    assert first.iteration == 6
    second = lk.Solver(two(), folder=tmp_path / "parts")
    assert second.restore(tmp_path / "parts" / "iter_6.state.safetensors") == []
    second.solve()
    assert_same(everything(second), everything(whole))
    assert course(tmp_path / "parts") == course(tmp_path / "whole")


def test_states_of_each_net_are_kept_apart(tmp_path: Path) -> None:
    solver = lk.Solver(two(), folder=tmp_path)
    solver.solve()
    kept = arrayfile.load(tmp_path / "iter_12.state.safetensors")[0]
    assert {"state.test.new.digits.consumed", "state.test.seen.seen.consumed"} <= set(kept)
    lk.Solver(two()).restore(tmp_path / "iter_12.state.safetensors")


def test_faults_in_a_further_net_are_told_with_the_others() -> None:
    run = two()
    run["net"]["layers"].append(
        {"name": "wide", "type": "InnerProduct", "bottom": "nothing", "num_output": 3, "include": {"stage": "seen"}}
    )
    run["net"]["layers"][2]["num_output"] = -1
    with pytest.raises(lk.ConfigError) as error:
        graph.load(run)
    assert "num_output" in str(error.value)
    run["net"]["layers"][2]["num_output"] = 8
    with pytest.raises(lk.ConfigError, match="'nothing'"):
        graph.load(run)


def test_weights_that_differ_between_test_nets_are_refused() -> None:
    run = two()
    layers = run["net"]["layers"]
    layers[2]["exclude"] = {"phase": "test", "stage": "seen"}
    other = {key: value for key, value in layers[2].items() if key != "exclude"}
    layers.insert(3, {**other, "num_output": 9, "include": {"phase": "test", "stage": "seen"}})
    with pytest.raises(lk.ConfigError, match="in phase test seen, but"):
        graph.load(run)


def test_graphs_go_by_phase_and_name() -> None:
    assert list(graph.load(two()).graphs) == ["train", "test", "test seen", "predict"]
    assert list(graph.load(two(), ["test"]).graphs) == ["test", "test seen"]


def test_layerkit_test_runs_all_and_check_counts_all(command: Any) -> None:
    run = two(max_iter=2, test_interval=2)
    Path("run.yaml").write_text(lk_dump(run))
    trained = command("train", "run.yaml")
    assert trained.status == 0, trained.err
    assert "new.loss" in trained.out
    answer = command("test", "run.yaml", "--weights", "runs/d/iter_2.safetensors")
    lines = dict(line.split() for line in answer.out.splitlines())
    assert list(lines) == ["new.loss", "new.accuracy", "seen.loss", "seen.accuracy"]
    assert f"seen.accuracy {float(lines['seen.accuracy']):.4f}" in trained.out
    assert answer.err == f"{360 + 1437} samples\n"
    assert command("check", "run.yaml").out == "run.yaml: ok (layers: train 6, test 7, test seen 7, predict 6)\n"


def lk_dump(run: dict[str, Any]) -> str:
    from layerkit import text

    return text.dump(run)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"test_state": []}, "test_state must not be empty"),
        (
            {"test_state": [{"stage": "a"}, {"stage": ["a"]}]},
            "test_state must differ, but two test nets would be called",
        ),
        ({"test_state": [{}, {"stage": ["test"]}]}, "two test nets would be called 'test' after level and stages"),
        ({"test_state": [{"stage": "a"}, {"stag": "b"}]}, "unknown field 'stag'; did you mean 'stage'?"),
        ({"test_iter": [1, 2]}, "test_iter must be one value, or one for each test net, which are 1, not 2"),
        ({"test_iter": [0, 2], "test_state": [{}, {"level": 1}]}, "test_iter must be 'all' or greater than 0"),
        ({"test_iter": "al"}, "test_iter must be 'all' or a whole number, not 'al'; did you mean 'all'?"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_one_sentence(fields: dict[str, Any], part: str) -> None:
    assert part in sentence(**fields)


def test_levels_name_nets_too() -> None:
    run = digits_run(test_state=[{"level": 0}, {"level": 2}, {"level": 2, "stage": ["b", "c"]}])
    assert list(lk.Solver(run).test_nets) == ["test", "level2", "b+c+level2"]
    np.testing.assert_equal(len(lk.Solver(run).test()), 6)
