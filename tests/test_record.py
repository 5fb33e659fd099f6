"""The record: its first line, norms at displays, a rate that the policy plateau lowers, and debug_info."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import layerkit as lk
from layerkit import engines, events
from layerkit.events import EventLog
from layerkit.magnitudes import DebugInfo, l1_norm, l2_norm
from layerkit.report.debug_info import magnitude_lines

HEADER = b'{"record": "layerkit", "format": 1}\n'

FORK = [
    {"name": "digits", "type": "Data", "top": ["data", "label"], "dataset": "digits", "scale": 0.0625,
     "batch_size": {"train": 8, "test": 100}},
    {"name": "conv", "type": "Convolution", "bottom": "data", "num_output": 4, "kernel_size": 3,
     "weight_filler": "xavier"},
    {"name": "relu", "type": "ReLU", "bottom": "conv", "top": "conv"},
    {"name": "a", "type": "InnerProduct", "bottom": "conv", "num_output": 10, "weight_filler": "xavier"},
    {"name": "b", "type": "InnerProduct", "bottom": "conv", "num_output": 10, "weight_filler": "xavier",
     "param": [{"lr_mult": 0}]},
    {"name": "sum", "type": "Eltwise", "bottom": ["a", "b"]},
    {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["sum", "label"]},
]  # fmt: skip
"""An in-place layer, a blob that two layers read, and a frozen weight."""


def fork(folder: Path | None = None, engine: str = "numpy", **fields: Any) -> lk.Solver:
    solver = {"base_lr": 0.1, "max_iter": 6, "display": 2, **fields}
    return lk.Solver({"name": "fork", "net": {"layers": FORK}, "solver": solver}, folder=folder, engine=engine)


def heard(solver: lk.Solver, kind: str) -> list[dict[str, Any]]:
    """The events of a kind, once they come."""
    found: list[dict[str, Any]] = []
    solver.events.listen(lambda event: found.append(event) if event["event"] == kind else None)
    return found


# -- the file ------------------------------------------------------------------------------------------------------


def test_the_first_line_says_what_the_file_is(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.emit("one", 1)
    log.emit("two", 2)
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    assert lines[0] == HEADER
    assert len(lines) == 3
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one", "two"]
    log.rewind(0)
    assert events.read(tmp_path / "log") == []
    log.emit("three", 3)
    assert (tmp_path / "log").read_bytes().startswith(HEADER)
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["three"]


@pytest.mark.parametrize("length", range(len(HEADER)))
def test_a_first_line_that_was_cut_off_is_no_fault(tmp_path: Path, length: int) -> None:
    (tmp_path / "log").write_bytes(HEADER[:length])
    assert events.read(tmp_path / "log") == []
    EventLog(tmp_path / "log").emit("one", 1)
    assert [event["event"] for event in events.read(tmp_path / "log")] == ["one"]


@pytest.mark.parametrize(
    "text",
    [
        b"notes\n",
        b"notes",
        b"{}\n",
        b"[]\n",
        b'{"record": "other", "format": 1}\n',
        b'{"record": "layerkit"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"event": "start", "iter": 0, "time": 1.0}\n',
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)
    foreign = r"log is not an event log of layerkit: its first line does not say so$"
    with pytest.raises(lk.DataError, match=foreign):
        events.read(path)
    for write in (lambda log: log.emit("one", 1), lambda log: log.rewind(0)):
        with pytest.raises(lk.DataError, match=foreign):
            write(EventLog(path))
    assert path.read_bytes() == text


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(HEADER.replace(b"1", b"2"))
    with pytest.raises(lk.DataError, match=r"log was written by a newer layerkit \(format 2, this one reads 1\)$"):
        events.read(tmp_path / "log")


SOUND = {"event": "a", "iter": 0, "time": 1.5}
UNSOUND: list[dict[str, Any]] = [
    {"event": 1}, {"event": None}, {"iter": "0"}, {"iter": -1}, {"iter": 2**63}, {"iter": 0.5}, {"time": "now"},
    {"time": None}, {"time": 1e13}, {"outputs": [1]}, {"outputs": {"b": []}}, {"loss": "0"},
]  # fmt: skip
LINES = ["", "{}", "1", "null", "[" * 100_000, *(json.dumps({**SOUND, **change}) for change in UNSOUND)]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[-30:])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    good = json.dumps(SOUND).encode() + b"\n"
    (tmp_path / "log").write_bytes(HEADER + good + line.encode() + b"\n" + good)
    with pytest.raises(lk.DataError, match=r"log:3: this line is no event$"):
        events.read(tmp_path / "log")


def test_every_kind_and_field_is_documented(tmp_path: Path) -> None:
    plateau = {"metric": "loss", "mode": "max", "patience": 1}
    solver = fork(tmp_path, debug_info=True, lr_policy="plateau", gamma=0.5, plateau=plateau, test_interval=2)
    solver.solve()
    seen = {key for event in events.read(tmp_path / "events.jsonl") for key in (event["event"], *event)}
    assert {"start", "display", "debug_info", "test", "lr", "snapshot", "stop"} <= seen
    assert {word for word in seen if word not in (events.__doc__ or "")} == set()


# -- norms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5, (1 << 16) + 3, 3 << 16])
def test_norms_of_any_length(size: int) -> None:
    flat = np.random.default_rng(0).normal(size=size)
    assert l2_norm(flat) == pytest.approx(np.linalg.norm(flat), rel=1e-12)
    assert l1_norm(flat) == pytest.approx(np.abs(flat).sum(), rel=1e-12)


@pytest.mark.parametrize("fields", [{}, {"clip_gradients": 1e-3, "weight_decay": 0.1}, {"iter_size": 2}])
def test_a_display_has_the_norms_of_gradients_before_clipping_and_of_weights(fields: dict[str, Any]) -> None:
    solver, twin = fork(**fields), fork(**{**fields, "display": 0})
    displays = heard(solver, "display")
    solver.step(3)
    for display in displays:
        twin.step(display["iter"] - twin.iteration)
        weights = np.linalg.norm(twin.net.flat.values)
        twin._gradients()
        count = twin.spec.iter_size
        assert display["grad_norm"] == pytest.approx(np.linalg.norm(twin.net.flat.diff) / count, rel=1e-5)
        assert display["weight_norm"] == pytest.approx(weights, rel=1e-5)
        break  # the twin has spent a batch
    assert len(displays) == 2


def test_displays_change_nothing() -> None:
    often, never = fork(display=1, debug_info=True), fork(display=0)
    often.step(4)
    never.step(4)
    np.testing.assert_array_equal(often.net.flat.values, never.net.flat.values)


# -- the rate ------------------------------------------------------------------------------------------------------


def test_a_rate_that_plateau_lowers_is_an_event_after_its_test(tmp_path: Path) -> None:
    plateau = {"metric": "loss", "mode": "max", "patience": 2}  # the loss falls, so it is never better than at first
    solver = fork(tmp_path, lr_policy="plateau", gamma=0.5, plateau=plateau, test_interval=1, display=0)
    solver.solve()
    log = events.read(tmp_path / "events.jsonl")
    kinds = [(event["event"], event["iter"]) for event in log if event["event"] in ("test", "lr")]
    assert kinds == [("test", 0), ("test", 1), ("test", 2), ("lr", 2), ("test", 3), ("test", 4), ("lr", 4),
                     ("test", 5), ("test", 6)]  # fmt: skip
    first, second = (event for event in log if event["event"] == "lr")
    best = next(event for event in log if event["event"] == "test")["outputs"]["loss"]
    assert {key: first[key] for key in ("lr", "was", "metric", "best")} == {
        "lr": 0.05, "was": 0.1, "metric": "loss", "best": best,
    }  # fmt: skip
    assert (second["was"], second["lr"]) == (0.05, 0.025)
    assert [event["lr"] for event in log if event["event"] == "test"] == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025]


# -- debug_info ----------------------------------------------------------------------------------------------------


def mean(array: Any) -> float:
    return float(np.abs(np.asarray(array, np.float64)).mean())


def test_debug_info_has_what_partial_passes_show() -> None:
    solver, twin = fork(debug_info=True), fork().net
    seen = heard(solver, "debug_info")
    solver.step(3)
    assert [event["iter"] for event in seen] == [0, 2]
    event = seen[0]
    forward: list[dict[str, Any]] = []
    for layer in twin.layers:  # one at a time: each is seen before an in-place layer writes over it
        twin.forward(end=layer) if layer == "digits" else twin.forward(start=layer, end=layer)
        tops = {"digits": ["data", "label"], "relu": ["conv"]}.get(layer, [layer])
        forward += [{"layer": layer, "top": top, "data": mean(twin.blobs[top].data)} for top in tops]
        forward += [
            {"layer": layer, "weight": name, "data": mean(blob.data)} for name, blob in twin.params[layer].items()
        ]
    for line, wanted in zip(event["forward"], forward, strict=True):
        assert line == {**wanted, "data": pytest.approx(wanted["data"], rel=1e-5)}
    pairs = [(line["layer"], line.get("bottom", line.get("weight"))) for line in event["backward"]]
    assert pairs == [
        ("loss", "sum"), ("sum", "a"), ("sum", "b"), ("b", "conv"), ("b", "bias"), ("a", "conv"), ("a", "weight"),
        ("a", "bias"), ("relu", "conv"), ("conv", "weight"), ("conv", "bias"),
    ]  # fmt: skip
    found = dict(zip(pairs, (line["diff"] for line in event["backward"]), strict=True))
    twin.backward()
    y = twin.blobs["sum"].diff.copy()
    given = {name: y @ twin.params[name].weight.data for name in ("a", "b")}
    for name, diff in given.items():
        assert found[name, "conv"] == pytest.approx(mean(diff), rel=1e-5)
    total = (given["a"] + given["b"]).reshape(twin.blobs["conv"].shape) * (twin.blobs["conv"].data > 0)
    assert found["relu", "conv"] == pytest.approx(mean(total), rel=1e-5)
    assert found["loss", "sum"] == pytest.approx(mean(y), rel=1e-5)
    assert found["conv", "weight"] == pytest.approx(mean(twin.params["conv"].weight.diff), rel=1e-4)
    flat = twin.flat
    assert event["norms"]["l2"] == pytest.approx([np.linalg.norm(flat.values), np.linalg.norm(flat.diff)], rel=1e-5)
    assert event["norms"]["l1"] == pytest.approx([np.abs(flat.values).sum(), np.abs(flat.diff).sum()], rel=1e-5)


def test_an_update_shows_the_step_that_was_made() -> None:
    solver = fork(debug_info=True, momentum=0.9, display=1)
    seen = heard(solver, "debug_info")
    for k in range(3):
        before = {slot.key: slot.blob.values.copy() for slot in solver.net.flat.trained}
        solver.step()
        update = seen[k]["update"]
        assert [f"{line['layer']}.{line['weight']}" for line in update] == list(before)
        for line, slot in zip(update, solver.net.flat.trained, strict=True):
            assert line["data"] == pytest.approx(mean(slot.blob.values), rel=1e-5)
            assert line["diff"] == pytest.approx(mean(before[slot.key] - slot.blob.values), rel=1e-4)


@pytest.mark.parametrize("engine", engines.names())
def test_every_engine_shows_the_same_and_names_what_it_joins(engine: str) -> None:
    if engines.missing(engine) is not None:
        pytest.skip(f"{engine} cannot run here: {engines.missing(engine)}")
    solver, plain = fork(engine=engine, debug_info=True), fork(debug_info=True)
    found, wanted = heard(solver, "debug_info"), heard(plain, "debug_info")
    solver.step()
    plain.step()
    for part in ("forward", "backward"):
        by_name = {tuple(line.values())[:2]: tuple(line.values())[2] for line in wanted[0][part]}
        for line in found[0][part]:
            layer, blob, value = line.values()
            assert value == pytest.approx(by_name[layer.split("+")[-1], blob], rel=1e-3), (layer, blob)
    assert {line["layer"].split("+")[-1] for line in found[0]["forward"]} >= {"digits", "relu", "a", "b", "sum", "loss"}


def test_the_lines_are_caffes() -> None:
    solver = fork(debug_info=True)
    seen = heard(solver, "debug_info")
    solver.step()
    lines = list(magnitude_lines(seen[0]))
    value = seen[0]["forward"][0]["data"]
    assert lines[0] == f"    [Forward] Layer digits, top blob data data: {value:.6g}"
    assert lines[3].startswith("    [Forward] Layer conv, param blob weight data: 0.")
    assert lines[len(seen[0]["forward"])].startswith("    [Backward] Layer loss, bottom blob sum diff: 0.0")
    assert any(line.startswith("    [Backward] All net params (data, diff): L1 norm = (") for line in lines)
    assert lines[-1].startswith("    [Update] Layer b, param bias data: 0.0")


def test_debug_info_of_an_empty_blob_is_zero() -> None:
    layers = [{"name": "x", "type": "Input", "shape": [2, 3]}, FORK[3] | {"bottom": "x"},
              {"name": "loss", "type": "Reduction", "bottom": "a", "loss_weight": 1}]  # fmt: skip
    net = lk.Net({"layers": layers})
    net.forward(x=np.zeros((0, 3)))
    net.backward()
    assert DebugInfo(net).after_update()["forward"][0] == {"layer": "x", "top": "x", "data": 0.0}


def test_debug_info_needs_every_blob() -> None:
    run = {"net": {"layers": FORK}, "solver": {"base_lr": 0.1, "max_iter": 6, "debug_info": True}}
    with pytest.raises(
        lk.UsageError, match="debug_info reads every blob after a pass; make the solver with keep='all'"
    ):
        lk.Solver(run, keep=())


def test_debug_info_without_displays_is_an_error() -> None:
    with pytest.raises(
        lk.ConfigError, match="debug_info must be false where display is 0, since it comes with displays"
    ):
        fork(debug_info=True, display=0)
