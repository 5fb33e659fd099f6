"""`layerkit check --gradients` of layers with bodies: right ones pass, and a wrong weight is named inside its body."""

import numpy as np
import pytest
from cases.loops import CASES

from layerkit import graph
from layerkit.layer import Layer, Plan, Weight
from layerkit.registry import _types, register
from layerkit.report.gradients import examine

NAMES = {"cont", "learned, reverse", "from a bottom", "both ways", "until", "learned", "then",
         "by sample"}  # fmt: skip


@pytest.fixture
def own(monkeypatch):
    """Layer types that are registered for one test only."""
    monkeypatch.setattr("layerkit.registry._types", dict(_types))
    return register


def row_of(layer, *sources):
    """What is found of one layer over inputs of given shapes."""
    inputs = [{"name": name, "type": "Input", "shape": list(shape)} for name, shape in sources]
    built = graph.load({"layers": [*inputs, {"name": "it", **layer}]}, ["train"])[1]["train"]
    (row,) = examine(built, "it")
    return row


def recurrent(body, state="h_new", **more):
    return {"type": "Recurrent", "bottom": "x", "states": {"h": {"next": state, "shape": [5]}}, "outputs": [state],
            "body": body, **more}  # fmt: skip


X = ("x", (4, 2, 3))
FC = {"name": "fc", "type": "InnerProduct", "bottom": "x", "num_output": 5}


@pytest.mark.parametrize("case", [case for case in CASES if case.name in NAMES], ids=lambda case: case.name)
def test_they_are_right_as_configured(case):
    names = case.params["inputs"]
    shapes = [each if isinstance(each, tuple) else np.shape(each) for each in case.bottoms]
    tops = [f"top{i}" for i in range(case.num_tops)]
    row = row_of({"type": case.type, "bottom": names, "top": tops, **case.params}, *zip(names, shapes, strict=True))
    assert (row.verdict, row.why) == ("ok", None)
    assert row.worst.error > 0


def test_a_loop_in_a_loop_with_draws_and_a_learned_start():
    inner = {"name": "in", "type": "Repeat", "bottom": "a", "states": {"s": {"next": "t", "start": "learned"}},
             "times": 2, "outputs": "t", "body": [
                 {"name": "d", "type": "Dropout", "bottom": "s"},
                 {"name": "t", "type": "Expression", "bottom": ["d", "a"], "expr": "tanh(d + a * a)"}]}  # fmt: skip
    body = [FC, {"name": "a", "type": "Eltwise", "bottom": ["fc", "h"]}, inner]
    row = row_of(recurrent(body, "in"), X)
    assert (row.verdict, row.why) == ("ok", None)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"truncate": 2}, "truncate stops its gradient on purpose; check it without"),
        ({"truncate": 4}, None),
        (
            {
                "body": [
                    FC,
                    {"name": "h_new", "type": "Eltwise", "bottom": ["fc", "h"], "propagate_down": [True, False]},
                ]
            },
            "propagate_down of 'h_new' in its body stops its gradient on purpose; check it without",
        ),
    ],
)
def test_what_is_cut_off_on_purpose_is_told(more, why):
    body = [FC, {"name": "h_new", "type": "Eltwise", "bottom": ["fc", "h"]}]
    row = row_of({**recurrent(body), **more}, X)
    assert (row.verdict, row.why) == ("ok" if why is None else "not checked", why)


def test_the_wrong_weight_is_named_inside_its_body(own, command, folder):
    @own
    class Scaled(Layer):
        """y = w x, whose backward forgets every second weight's x; it has no forward mode, so that none is compared."""

        def plan(self, x):
            return Plan(tops=[x], weights=[Weight("w", x[1:])])

        def forward(self, bottom, top):
            top[0].data[...] = self.weights.w.data * bottom[0].data

        def backward(self, top, propagate_down, bottom):
            if propagate_down[0]:
                bottom[0].diff[...] = self.weights.w.data * top[0].diff
            if "w" in self.asked:
                self.weights.w.diff[...] = (bottom[0].data * top[0].diff).sum(axis=0)
                self.weights.w.diff[3] *= 2

    (folder / "net.yaml").write_text("""
layers:
  - {name: x, type: Input, shape: [4, 2, 5]}
  - name: rnn
    type: Recurrent
    bottom: x
    states: {h: {next: y}}
    outputs: y
    body:
      - {name: sum, type: Eltwise, bottom: [x, h]}
      - {name: mine, type: Scaled, bottom: sum}
      - {name: y, type: TanH}
""")
    answer = command("check", "net.yaml", "--gradients")
    assert answer.status == 2
    assert "rnn (Recurrent): weight 'body/mine.w' at [3]: backward says" in answer.out
    assert "(2 times as much)" in " ".join(answer.out.split())
