"""The bytes told of nets with bodies: beforehand, after passes, and what is really there."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest
from config_tools import config

import layerkit as lk
from layerkit.blob import ALIGNMENT
from layerkit.graph import load
from layerkit.report.memory import prepare
from layerkit.report.summary import summarize

FC = {"type": "InnerProduct", "num_output": 40, "weight_filler": "xavier"}
CELL = [
    {"name": "i2h", "bottom": "x", **FC},
    {"name": "h2h", "bottom": "h", **FC},
    {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
    {"name": "h_new", "type": "TanH"},
    {"name": "drop", "type": "Dropout", "bottom": "h_new"},
]
RNN = {"type": "Recurrent", "bottom": "x", "body": CELL, "states": {"h": {"next": "h_new"}}, "outputs": "drop"}
TWICE = {"name": "in", "type": "Repeat", "bottom": "drop", "times": 3, "states": {"s": {"next": "t", "start": "drop"}},
         "outputs": "t", "body": [{"name": "u", "bottom": "s", **FC}, {"name": "t", "type": "Eltwise",
                                                                      "bottom": ["u", "s"]}]}  # fmt: skip
LAST = [{"blob": "drop", "take": "last"}]
LAYERS: dict[str, dict[str, Any]] = {
    "plain": RNN,
    "learned start, both ways": {**RNN, "states": {"h": {"next": "h_new", "start": "learned"}}, "bidirectional": True},
    "truncated, last": {**RNN, "outputs": LAST, "truncate": 3},
    "recomputed": {**RNN, "recompute": True},
    "a loop inside": {**RNN, "body": [*CELL, TWICE], "outputs": "in"},
    "branches": {"type": "Cond", "bottom": ["y", "c"], "condition": "c", "outputs": "out", "by": "sample",
                 "then": [{"name": "out", "bottom": "y", **FC}],
                 "otherwise": [{"name": "low", "bottom": "y", **FC}, {"name": "out", "type": "TanH", "bottom": "low"}]},
}  # fmt: skip


def source(layer: dict[str, Any]) -> dict[str, Any]:
    shapes = {"x": [6, 30, 50], "y": [30, 50], "c": [30]}
    inputs = [{"name": name, "type": "Input", "shape": shape} for name, shape in shapes.items()]
    loss = {"name": "loss", "type": "Reduction", "bottom": "it", "loss_weight": 1}
    return {"layers": [*inputs, {"name": "it", **layer}, loss]}


def taken(run: Any) -> tuple[int, int]:
    """Bytes of numpy's arrays that `run` leaves there, and how many arrays these are."""
    gc.collect()
    tracemalloc.start()
    try:
        run()
        gc.collect()
        domain = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([domain]).traces
        return sum(trace.size for trace in traces), len(traces)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "plain"])  # it is a part of the others
def test_what_is_told_beforehand_is_what_is_there(name: str) -> None:
    graph = load(source(LAYERS[name]), ["train"]).graphs["train"]
    nets = []

    def passes() -> None:
        nets.append(lk.Net.from_graph(graph, engine="numpy", keep=()))
        nets[0].forward(c=np.zeros(30))
        nets[0].backward()

    there, count = taken(passes)
    told = nets[0].bytes
    assert 0 <= there - sum(told.values()) <= count * ALIGNMENT + 200  # an array has room to begin where it should
    if name == "branches":  # of which only one ran
        nets[0].forward(c=np.ones(30))
        nets[0].backward()
        told = nets[0].bytes
    planned = lk.Net.from_graph(load(source(LAYERS[name]), ["train"]).graphs["train"], engine="numpy", keep=())
    prepare(planned)
    assert planned.bytes == told
    found = summarize(load(source(LAYERS[name]), ["train"]).graphs["train"], "numpy")
    assert found.planned == pytest.approx(told["blobs"], abs=1000)
    assert found.rows[3].activations > 6 * 30 * 40 * 4 or name in ("branches", "truncated, last")


def test_fewer_bytes_are_told_of_what_keeps_less() -> None:
    held = {}
    for name in ("plain", "recomputed"):
        held[name] = summarize(load(source(LAYERS[name]), ["train"]).graphs["train"], "numpy").planned
    assert held["recomputed"] < held["plain"]
    test = summarize(load(source(LAYERS["plain"]), ["test"]).graphs["test"], "numpy").planned
    assert test is not None
    assert test < held["recomputed"]


def test_the_three_commands_tell_the_same(command: Any) -> None:
    file = str(config("lstm_body"))
    checked = command("check", file, "--memory", "--engine", "numpy").out
    timed = command("time", file, "--engine", "numpy", "--iterations", "1").out
    blobs = next(line for line in timed.splitlines() if line.startswith("blobs "))
    assert f"train: {blobs}" in checked.splitlines()
    net = lk.Net(file, engine="numpy", keep=())
    net.forward()
    net.backward()
    assert f"({net.bytes['blobs']:,} bytes)" in blobs
    net.close()
