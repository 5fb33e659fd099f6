"""How much nets have to compute, and on how many threads the command line therefore runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerkit.graph import load
from layerkit.graph.effort import LITTLE, multiply_adds, threads_for

CONFIGS = Path(__file__).parents[1] / "configs"


def effort(name: str, *overrides: str) -> int:
    return multiply_adds(load(str(CONFIGS / f"{name}.yaml"), ["train"], overrides).graphs["train"])


def test_multiply_adds_are_those_of_the_formulas() -> None:
    assert effort("mlp") == 64 * (64 * 128 + 128 * 10)
    conv1, conv2 = 20 * 24 * 24 * 25, 50 * 8 * 8 * 20 * 25
    assert effort("lenet") == 64 * (conv1 + conv2 + 800 * 500 + 500 * 10)
    assert effort("alexnet", "net.layers.data.batch_size=1") == pytest.approx(0.71e9, rel=0.03)  # as is published
    assert effort("mobilenet_v2", "net.layers.data.batch_size=1") == pytest.approx(0.30e9, rel=0.03)


def test_a_body_counts_each_time_it_runs() -> None:
    fc = {"type": "InnerProduct", "num_output": 4}
    cell = [
        {"name": "i2h", "bottom": "x", **fc},
        {"name": "h2h", "bottom": "h", **fc},
        {"name": "sum", "type": "Eltwise", "bottom": ["i2h", "h2h"]},
    ]
    once = 2 * (3 * 4 + 4 * 4)  # two sequences
    last = [{"blob": "sum", "take": "last"}]
    rnn = {"type": "Recurrent", "bottom": "x", "states": {"h": {"next": "sum"}}, "outputs": last, "body": cell}
    again = {"type": "Repeat", "bottom": "s", "times": 7, "states": {"h": {"next": "h2h", "start": "s"}},
             "outputs": "h2h", "body": cell[1:2]}  # fmt: skip
    choice = {"type": "Cond", "bottom": ["s", "c"], "condition": "c", "outputs": "y", "by": "sample",
              "then": [{"name": "y", "bottom": "s", **fc}],
              "otherwise": [{"name": "y0", "bottom": "s", **fc}, {"name": "y", **fc}]}  # fmt: skip
    shapes = {"x": [5, 2, 3], "s": [6, 4], "c": [6]}
    sources = [{"name": name, "type": "Input", "shape": shape} for name, shape in shapes.items()]
    for layer, wanted in (
        (rnn, 5 * once),
        ({**rnn, "bidirectional": True}, 2 * 5 * once),
        (again, 7 * 6 * 4 * 4),
        (choice, 6 * 2 * 4 * 4),  # the longer one at the most
    ):
        graph = load({"layers": [*sources, {"name": "it", **layer}]}, ["train"]).graphs["train"]
        assert multiply_adds(graph) == wanted


def test_small_nets_run_on_one_thread() -> None:
    for name, one in (("mlp", True), ("autoencoder", True), ("siamese", True), ("lenet", False), ("resnet50", False)):
        graph = load(str(CONFIGS / f"{name}.yaml"), ["train"]).graphs["train"]
        assert (threads_for(graph) == 1) == one == (multiply_adds(graph) < LITTLE), name


@pytest.mark.parametrize(
    ("variable", "arguments", "wanted"),
    [(None, [], 1), ("3", [], 3), (None, ["--threads", "2"], 2), (None, ["--set", "threads=2"], 2)],
)
def test_what_is_asked_for_counts_more(
    command: Any, monkeypatch: pytest.MonkeyPatch, variable: str | None, arguments: list[str], wanted: int
) -> None:
    from layerkit import threads

    monkeypatch.delenv("OMP_NUM_THREADS")
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr("layerkit.threads.default", lambda: int(variable or 7))
    used: list[int | None] = []
    monkeypatch.setattr(
        "layerkit.threads.use", lambda count, pool: used.append(threads.default() if count is None else count)
    )
    assert command("time", "configs/mlp.yaml", "--engine", "numpy", "--iterations", "1", *arguments).status == 0
    assert used[0] == wanted
