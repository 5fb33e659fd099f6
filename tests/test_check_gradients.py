"""`layerkit check --gradients`: right layers pass, a wrong backward is found and placed, the rest is named."""

import json

import numpy as np
import pytest
from cases import CASES
from python_modules import modules  # noqa: F401 - a fixture

from layerkit import graph
from layerkit.checks import prepare
from layerkit.errors import DataError
from layerkit.layer import Layer, Plan, Weight
from layerkit.registry import _types, register
from layerkit.report.gradients import examine

TYPES = (
    "Convolution", "Pooling", "LRN", "BatchNorm", "LSTM", "MultiHeadAttention", "Embed", "Dropout", "Eltwise", "Log",
    "Expression", "Filter", "CTCLoss", "ContrastiveLoss", "MultinomialLogisticLoss", "HingeLoss", "SoftmaxWithLoss",
    "ROIPooling", "MultiBoxLoss", "Parameter", "Silence", "Data",
)  # fmt: skip
"""Those that differ in what there is to check, and at which points."""
FIRST = {case.type: case for case in reversed(CASES) if case.type in TYPES}
"""A case of each."""


@pytest.fixture
def own(monkeypatch):
    """Layer types that are registered for one test only."""
    monkeypatch.setattr("layerkit.registry._types", dict(_types))
    return register


def rows(*layers, **net):
    """The rows of a net, by layer."""
    built = graph.load({"layers": list(layers), **net}, ["train"])[1]["train"]
    return {row.layer: row for row in examine(built)}


def given(*shape, top="x"):
    return {"name": "in", "type": "Input", "top": top, "shape": list(shape)}


class Square(Layer):
    """y = w x^2, one w a column; what the broken ones below change one thing of."""

    factor = 2

    def plan(self, x):
        return Plan(tops=[x], weights=[Weight("w", x[1:])])

    def forward(self, bottom, top):
        top[0].data[...] = self.weights.w.data * bottom[0].data ** 2

    def backward(self, top, propagate_down, bottom):
        x, dy = bottom[0].data, top[0].diff
        if propagate_down[0]:
            bottom[0].diff[...] = self.factor * self.weights.w.data * x * dy
        if "w" in self.asked:
            self.weights.w.diff[...] = (x * x * dy).sum(axis=0)


# -- right ones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(FIRST))
def test_no_built_in_layer_is_called_wrong(kind):
    case = FIRST[kind]
    with prepare(case) as lone:
        bottoms = {f"b{i}": list(blob.shape) for i, blob in enumerate(lone.bottom)}
    layer = {"name": "it", "type": kind, "top": [f"t{i}" for i in range(case.num_tops)], **case.params}
    sources = [{"name": f"in {top}", "type": "Input", "top": top, "shape": shape} for top, shape in bottoms.items()]
    built = graph.load(
        {"layers": [*sources, {**layer, **({"bottom": list(bottoms)} if bottoms else {})}]}, [case.phase]
    )
    (row,) = examine(built[1][case.phase], "it")
    assert row.verdict in ("ok", "not checked", *(["close"] if kind == "ContrastiveLoss" else []))


@pytest.mark.parametrize("name", ["mlp", "spirals"])
def test_a_shipped_config_is_right_on_the_command_line(command, name):
    answer = command("check", f"configs/{name}.yaml", "--gradients")
    assert (answer.status, answer.err) == (0, "")
    titles, first, *others = answer.out.splitlines()
    assert titles.split() == ["layer", "type", "worst", "error", "verdict"]
    assert first.endswith("not checked: reads samples")
    assert all(line.endswith("  ok") for line in others)


def test_random_draws_are_repeated_and_batches_are_small(own):
    found = rows(
        given(64, 7),
        {"name": "drop", "type": "Dropout", "dropout_ratio": 0.4},
        {"name": "norm", "type": "BatchNorm"},
        {"name": "fc", "type": "InnerProduct", "num_output": 5},
    )
    assert [row.verdict for row in found.values()] == ["not checked", "ok", "ok", "ok"]
    assert all(row.error < 1e-8 for row in list(found.values())[1:])
    assert found["fc"].worst.error > 0  # differences are never exact: something was compared


def test_a_layer_that_is_finite_in_part_of_the_line_is_checked_there():
    found = rows(given(4, 3), {"name": "log", "type": "Log"})
    assert found["log"].verdict == "ok"
    assert found["log"].worst.numeric != 0


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ({"type": "ArgMax"}, "can have no gradient"),
        ({"type": "Accuracy", "bottom": ["x", "y"]}, "a metric"),
        ({"type": "KLDivergence", "bottom": ["x", "x"], "axis": 0}, None),
    ],
)
def test_what_is_not_checked_has_a_reason(layer, why):
    found = rows(given(4, 3), {"name": "labels", "type": "Input", "top": "y", "shape": [4]}, {"name": "it", **layer})
    assert found["it"].why == why
    assert found["in"].why == "has neither bottoms nor weights that learn"


# -- wrong ones ----------------------------------------------------------------------------------------------------


def test_a_forgotten_factor_is_found_with_element_and_values(own, command, folder):
    @own
    class Forgot(Square):
        factor = 1

    (folder / "own.yaml").write_text(
        "layers: [{name: in, type: Input, shape: [8, 6]}, {name: mine, type: Forgot}, {name: r, type: ReLU}]"
    )
    answer = command("check", "own.yaml", "--gradients")
    assert answer.status == 2
    assert answer.err == "the gradient of 1 of 3 layers is wrong: 'mine'\n"
    table, place, reading = answer.out.split("\n\n")
    assert table.splitlines()[2].split()[-1] == "wrong"
    assert place.startswith("mine (Forgot): bottom 0 at [")
    assert "(0.5 times as much)" in " ".join(place.split())
    assert "a factor or a sign" in reading
    assert max(map(len, f"{place}\n{reading}".splitlines())) <= 80

    answer = command("check", "own.yaml", "--gradients", "--layer", "r")
    assert answer.status == 0
    assert len(answer.out.splitlines()) == 2


def test_json_has_every_number_that_can_be_written(own, command, folder):
    @own
    class Unwritten(Square):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)
            bottom[0].diff[1, 2] = np.nan

    (folder / "own.yaml").write_text("layers: [{name: in, type: Input, shape: [8, 6]}, {name: mine, type: Unwritten}]")
    answer = command("check", "own.yaml", "--gradients", "--json")
    assert answer.status == 2
    _, row = json.loads(answer.out)["layers"]
    assert (row["verdict"], row["error"]) == ("wrong", None)
    assert row["worst"] | {"numeric": 0} == {
        "array": "bottom 0", "error": None, "analytic": None, "numeric": 0, "index": [1, 2]
    }  # fmt: skip
    assert "left not a number" in command("check", "own.yaml", "--gradients").out


def test_one_wrong_element_among_many_is_found(own):
    @own
    class Border(Square):
        def backward(self, top, propagate_down, bottom):
            super().backward(top, propagate_down, bottom)
            self.weights.w.diff[4321] += 1

    row = rows(given(2, 9000), {"name": "mine", "type": "Border"})["mine"]
    assert row.verdict == "wrong"
    assert (row.worst.array, row.worst.index) == ("weight 'w'", (4321,))
    assert row.worst.analytic - row.worst.numeric == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("factor", "verdict"), [(2 + 1e-4, "close"), (2 + 1e-2, "wrong")])
def test_a_gradient_that_is_all_but_right_is_close(own, factor, verdict):
    own(type("Nearly", (Square,), {"factor": factor}))
    assert rows(given(4, 5), {"name": "mine", "type": "Nearly"})["mine"].verdict == verdict


def test_a_small_gradient_is_judged_as_any_other(own):
    @own
    class Small(Square):
        def forward(self, bottom, top):
            top[0].data[...] = 1e-3 * bottom[0].data + 0 * self.weights.w.data

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = 2e-3 * top[0].diff
            self.weights.w.diff[...] = 0

    assert rows(given(4, 5), {"name": "mine", "type": "Small"})["mine"].verdict == "wrong"


def test_a_layer_is_checked_where_it_is_meant_to_work(own):
    @own
    class Cliff(Square):
        """Far too steep below 0, and its labels are never 0."""

        bottoms = (2, 2)

        def plan(self, x, label):
            return Plan(tops=[x], gradients=[True, False])

        def forward(self, bottom, top):
            if not bottom[1].data.all():
                raise DataError("0 is no label here")
            x = bottom[0].data
            top[0].data[...] = np.where(x < 0, 1e10 * x, x)

        def backward(self, top, propagate_down, bottom):
            bottom[0].diff[...] = np.where(bottom[0].data < 0, 2e10, 1) * top[0].diff

    labels = {"name": "labels", "type": "Input", "top": "y", "shape": [4]}
    found = rows(given(4, 3), labels, {"name": "mine", "type": "Cliff", "bottom": ["x", "y"]})
    assert found["mine"].verdict == "ok"


def test_a_wrong_forward_mode_is_found(own):
    @own
    class Ahead(Square):
        def jvp(self, bottom, top, bottom_tangent, top_tangent):
            top_tangent[0][...] = self.weights.w.data * bottom[0].data * bottom_tangent[0]

    row = rows(given(4, 5), {"name": "mine", "type": "Ahead"})["mine"]
    assert (row.verdict, row.worst.array, row.worst.index) == ("wrong", "forward mode (jvp)", None)


def test_a_layer_that_cannot_run_is_named_with_what_it_raises(own):
    @own
    class Raises(Square):
        def backward(self, top, propagate_down, bottom):
            raise ValueError("not today")

    row = rows(given(4, 5), {"name": "mine", "type": "Raises"})["mine"]
    assert row.verdict == "wrong"
    assert "backward raised ValueError: not today" in row.why


def test_a_class_for_pycaffe_is_checked_where_it_is_allowed(module, command, folder):
    name = module(
        """
        import numpy as np

        class Halved:
            def setup(self, bottom, top):
                pass

            def reshape(self, bottom, top):
                top[0].reshape(*bottom[0].data.shape)

            def forward(self, bottom, top):
                top[0].data[...] = np.sin(bottom[0].data)

            def backward(self, top, propagate_down, bottom):
                bottom[0].diff[...] += 0.5 * np.cos(bottom[0].data) * top[0].diff

        class Distance:
            '''A loss that gives labels no gradient, and has no way to say so.'''

            def setup(self, bottom, top):
                top[0].reshape(1)

            def reshape(self, bottom, top):
                pass

            def forward(self, bottom, top):
                top[0].data[...] = ((bottom[0].data[:, 0] - bottom[1].data) ** 2).sum()

            def backward(self, top, propagate_down, bottom):
                bottom[0].diff[:, 0] = 2 * top[0].diff * (bottom[0].data[:, 0] - bottom[1].data)
        """
    )
    (folder / "own.yaml").write_text(
        f"""
layers:
  - {{name: in, type: Input, top: [x, label], shape: [[8, 3], [8]]}}
  - {{name: half, type: Python, bottom: x, module: {name}, layer: Halved}}
  - {{name: loss, type: Python, bottom: [half, label], module: {name}, layer: Distance, loss_weight: 1}}
"""
    )
    answer = command("check", "own.yaml", "--gradients", "--allow-python")
    assert answer.status == 2
    assert answer.err == "the gradient of 1 of 3 layers is wrong: 'half'\n"
    assert "half (Python): bottom 0 at [" in answer.out
    assert "(0.5 times as much)" in " ".join(answer.out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--layer", "fc1"), "--layer goes with --gradients"),
        (("--json",), "--json goes with --gradients"),
        (("--gradients", "--layer", "fc11"), "there is no layer 'fc11'; did you mean 'fc1'?"),
        (("--gradients", "--memory"), "--memory means nothing beside --gradients"),
        (("--gradients", "--expand"), "--expand means nothing beside --gradients"),
        (("--gradients", "--engine", "onednn"), "--engine means nothing beside --gradients"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(command, options, said):
    answer = command("check", "configs/mlp.yaml", *options)
    assert (answer.status, answer.out, answer.err) == (2, "", said + "\n")
